"""What a page shows: follows a journal, moves the 3-D scene, and passes the events on to all pages."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qwenarm.live.journal import JournalEvent, JournalReader
from qwenarm.live.scene import UPDATE_PERIOD_S, LiveScene

FOLLOW_PERIOD_S = 0.02
STALE_S = 5.0
"""Events that are older than this are not live: they are shown at the pace at which they were written."""
MAX_GAP_S = 2.0
"""Longer pauses of an old journal are cut to this."""
CLOCK_PERIOD_S = 0.25
RATE_WINDOW_S = 1.0
"""The real-time factor is measured over at least this time, once a run has lasted so long."""
GALLERY_FIELDS = ("task", "words", "title", "policy", "seed", "picked")
"""What the gallery tells of the start of a run."""
GALLERY_SIZE = 60
"""Number of finished runs that the gallery shows."""

TRANSIENT_KINDS = frozenset({"ready", "loading", "refused", "stored", "exported"})
"""What a page that is opened later need not be told."""
REPLACED_KINDS = frozenset({"poses", "saying"})
"""What other events of a finished run tell as well."""

Send = Callable[[dict[str, Any]], None]


class LiveSession:
    """Follows the journal of one folder.

    Args:
        folder: The journal's folder.
        scene: Shows the poses.
        send: Passes an event on to all pages.
        foreign: Another process writes the journal, now or in the past: it is shown from its last run on.
        since: When this session has begun, in seconds since the epoch: a player that was ready before is another one.
    """

    def __init__(self, folder: Path, scene: LiveScene, send: Send, foreign: bool = False, since: float = 0.0) -> None:
        self.folder, self.scene, self.send, self.foreign, self.since = folder, scene, send, foreign, since
        self.reader = JournalReader(folder, _last_start(folder) if foreign else 0)
        self.shown: list[JournalEvent] = []
        """The events of the runs that are shown now: a page that is opened or reloaded starts with them."""
        self.gallery: deque[JournalEvent] = deque(maxlen=GALLERY_SIZE)
        self.started_at: dict[int, int] = {}
        """Where the first line of each run begins in the journal."""
        self.ready, self.playing, self.paused = False, 0, False
        self._rates: deque[tuple[float, float]] = deque()
        self._last_at = 0.0

    async def follow(self) -> None:
        """Reads the journal for ever."""
        while True:
            for offset, event in self.reader.new_events():
                if self.foreign and time.time() - event["at"] > STALE_S:
                    await asyncio.sleep(min(max(event["at"] - self._last_at, 0.0), MAX_GAP_S) if self._last_at else 0)
                self._last_at = event["at"]
                try:
                    self._take(offset, event)
                except (KeyError, TypeError, ValueError, AttributeError):
                    continue  # a malformed event of somebody else's journal
            await asyncio.sleep(FOLLOW_PERIOD_S)

    async def animate(self) -> None:
        """Moves the scene for ever."""
        last = time.perf_counter()
        while True:
            await asyncio.sleep(UPDATE_PERIOD_S - (time.perf_counter() - last) % UPDATE_PERIOD_S)
            now = time.perf_counter()
            self.scene.move(now - last)
            last = now

    async def tell_time(self) -> None:
        """Tells the pages for ever how far the run is, and how fast."""
        while True:
            await asyncio.sleep(CLOCK_PERIOD_S)
            if self.playing:
                self.send({"kind": "clock", "t": round(self.scene.time_s, 1), "rate": self._rate()})

    def snapshot(self) -> dict[str, Any]:
        """What a page that is opened now has to know."""
        return {"events": self.shown, "gallery": list(self.gallery), "ready": self.ready, "playing": self.playing}

    def _take(self, offset: int, event: JournalEvent) -> None:
        kind, run = event["kind"], event["run"]
        if kind == "poses":
            if run == self.playing:
                self.scene.main.track.add(float(event["t"]), event["poses"])
                self._rates.append((event["at"], float(event["t"])))
            return
        if kind == "started":
            self._start(offset, event)
            event = _without_bodies(event)
        elif kind == "pace":
            self.scene.speed, self.paused = float(event["speed"]), bool(event["paused"])
            self.shown[:] = [each for each in self.shown if each["kind"] != "pace"]
        elif kind == "decided":
            self.shown[:] = [each for each in self.shown if each["kind"] != "saying"]
        elif kind == "ready":
            if event["at"] < self.since:
                return
            self.ready = True
        elif kind == "finished":
            self.scene.finish()
            self.playing = 0
            self._add_to_gallery(event)
        elif kind in ("stored", "exported"):
            self._complete(event)
        elif kind == "stopped":
            self.playing = 0
        if kind not in TRANSIENT_KINDS:
            self.shown.append(event)
        self.send(event)

    def _start(self, offset: int, event: JournalEvent) -> None:
        run, beside = event["run"], event.get("beside", 0)
        before = self._events_of(beside) if beside else []
        self.scene.show(event, before)
        self.started_at[run], self.playing, self.paused = offset, run, False
        self._rates.clear()
        was_shown = any(each["kind"] == "started" and each["run"] == beside for each in self.shown)
        self.shown[:] = [
            _without_bodies(each) for each in before if each["kind"] not in TRANSIENT_KINDS | REPLACED_KINDS
        ]
        if not was_shown:
            for each in self.shown:
                self.send(each)

    def _events_of(self, run: int) -> list[JournalEvent]:
        """All events of a finished run; none if it is not in this journal."""
        found: list[JournalEvent] = []
        if run not in self.started_at:
            return found
        reader = JournalReader(self.folder, self.started_at[run])
        while events := [event for _, event in reader.new_events()]:
            for event in events:
                if event["run"] == run:
                    found.append(event)
                    if event["kind"] == "stored":
                        return found
        return found

    def _add_to_gallery(self, event: JournalEvent) -> None:
        start = next((each for each in self.shown if each["kind"] == "started" and each["run"] == event["run"]), {})
        about = {name: start.get(name, "") for name in GALLERY_FIELDS}
        self.gallery.append({**about, **event, "kind": "gallery"})
        self.send(self.gallery[-1])

    def _complete(self, event: JournalEvent) -> None:
        """Adds to a run of the gallery what has become known of it."""
        for each in self.gallery:
            if each["run"] == event["run"]:
                each.update({name: value for name, value in event.items() if name not in ("kind", "at", "run")})
                each["stored"] = True
                self.tell_making(event["run"], [to for to in each.get("making", ()) if to not in each])

    def tell_making(self, run: int, formats: Sequence[str]) -> None:
        """Tells of a finished run which files of it are being made now."""
        for each in self.gallery:
            if each["run"] == run:
                each["making"] = formats
                self.send(each)

    def _rate(self) -> float:
        """Simulated seconds per second of wall-clock time."""
        while len(self._rates) > 2 and self._rates[-1][0] - self._rates[1][0] > RATE_WINDOW_S:
            self._rates.popleft()
        if len(self._rates) < 2 or self._rates[-1][0] == self._rates[0][0]:
            return 0.0
        (start, start_s), (end, end_s) = self._rates[0], self._rates[-1]
        return round((end_s - start_s) / (end - start), 2)


def _without_bodies(event: JournalEvent) -> JournalEvent:
    """The event without what only the scene needs."""
    return {name: value for name, value in event.items() if name != "bodies"}


def _last_start(folder: Path) -> int:
    """Where the last run of a journal begins, in bytes."""
    reader, start = JournalReader(folder), 0
    while events := list(reader.new_events()):
        start = max([start, *(offset for offset, event in events if event["kind"] == "started")])
    return start

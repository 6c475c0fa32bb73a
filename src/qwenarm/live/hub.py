"""The live page as a whole: player process, journal, 3-D scene, visitors and web server."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from qwenarm.episode.trace import scan
from qwenarm.errors import BadInput, QwenarmError
from qwenarm.live.export import EXPORT_FILES
from qwenarm.live.exports import Exports
from qwenarm.live.hearing import Hearing
from qwenarm.live.journal import Journal
from qwenarm.live.kiosk import Schedule, tour
from qwenarm.live.page import live_page
from qwenarm.live.player import serve_player
from qwenarm.live.requests import Choices, Request, checked_target
from qwenarm.live.scene import LiveScene
from qwenarm.live.server import PageServer
from qwenarm.live.session import LiveSession
from qwenarm.live.visitors import Visitors

if TYPE_CHECKING:
    from qwenarm.voice import Spoken

CHECK_PERIOD_S = 0.5
CLOSING_S = 10.0
"""The player may take so long to stop its run and to store it. One that waits for a model's answer is ended then."""
MAX_OLD_EPISODES = 200
"""Episodes of an old folder that the page lists."""
NOTHING_MOVES = "Things can be moved while the arm works. Start it first."
MAX_RECORDINGS = 4
"""Recordings that are kept for the words that may be sent."""


class LivePage:
    """Serves the live page of one session.

    Args:
        folder: The folder of the session's journal.
        models: That the page offers; the first is loaded at once.
        host, port: Where it listens; port 0 for any that is free.
        seed: The first scene's seed.
        old: A folder with episodes that can be replayed.
        watch: Only show the journal that another process writes into ``folder``.
        kiosk: Play a tour of all tasks until somebody touches the page.
        recognizer: Name of the speech recogniser.
    """

    def __init__(
        self,
        folder: Path,
        models: Sequence[str] = ("bundled",),
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        old: Path | None = None,
        watch: bool = False,
        kiosk: bool = False,
        recognizer: str = "pocketsphinx",
    ) -> None:
        self.folder, self.models, self.seed, self.old, self.watch, self.kiosk = folder, models, seed, old, watch, kiosk
        self.choices, self.visitors, began = Choices.of(models), Visitors(), time.time()
        self.old_episodes = _old_episodes(old) if old else []
        self._pipe: Any = None
        self._sending = Lock()  # objects are dragged in a thread of the scene
        self._process: Any = None
        if not watch:
            self.journal = Journal(folder)
            self._start_player()
        self.scene = LiveScene(folder, self.pull)
        self.server = PageServer(self, live_page(), folder, self.scene.access, host, port)
        self.session = LiveSession(folder, self.scene, self.server.send, watch, began)
        self._held, self._holder = frozenset[str](), ""  # objects that are being dragged, and by whom
        self._tasks = set[asyncio.Task[None]]()
        self._schedule = Schedule()
        if not watch:
            self.exports = Exports(self.journal, self.session.tell_making)
        self.hearing, self._heard = Hearing(recognizer), dict[str, "Spoken"]()
        self._listening = False

    async def run(self, ready: Any = None) -> None:
        """Serves until it is cancelled. ready: called with the link once the page can be opened."""
        server = await self.server.start()
        if self.old_episodes and not self.watch:
            self._send({"do": "replay", "folder": str(self.old), "index": self.old_episodes[-1]["index"]})
        if ready is not None:
            ready(self.server.link)
        session = self.session
        try:
            await asyncio.gather(session.follow(), session.animate(), session.tell_time(), self._watch_over())
        finally:
            server.close()
            self.close()

    def close(self) -> None:
        """Ends the player and the scene."""
        if self._pipe is not None:
            self._pipe.close()
            self._process.join(CLOSING_S)
            if self._process.is_alive():
                self._process.terminate()
            self._pipe = None
        self.hearing.close()
        self.scene.close()

    def enter(self, visitor: str) -> dict[str, Any]:
        self.visitors.enter(visitor)
        asyncio.get_running_loop().call_soon(self._tell_turns)
        return {
            "kind": "hello",
            "choices": self.choices.as_json(),
            "old": self.old_episodes,
            "watch_only": self.watch,
            "seed": self.seed,
            "follow": self.scene.follows,
            **self.session.snapshot(),
        }

    def leave(self, visitor: str) -> None:
        self.visitors.leave(visitor)
        self._tell_turns()

    def drag(self, visitor: str) -> bool:
        player = self.visitors.player
        try:
            self._touch(visitor)
        except BadInput:
            return False
        finally:
            if self.visitors.player != player:
                self._tell_turns()
        return bool(visitor)

    def receive(self, visitor: str, request: dict[str, Any]) -> str:
        try:
            self._receive(visitor, request)
        except QwenarmError as error:
            return str(error)
        finally:
            self._tell_turns()
        return ""

    def hear(self, visitor: str, recording: bytes) -> str:
        try:
            self._touch(visitor)
            if self._listening:
                raise BadInput("The recording before is still being recognised.")
        except QwenarmError as error:
            return str(error)
        self._listening = True
        self._spawn(self._hear(visitor, recording))
        return ""

    async def _hear(self, visitor: str, recording: bytes) -> None:
        """Tells the visitor's page the words in a recording. They do nothing until the page sends them back."""
        try:
            spoken = await self.hearing.hear(recording)
        except QwenarmError as error:
            self.server.send_to(visitor, {"kind": "refused", "run": 0, "text": str(error)})
        else:
            self._heard[spoken.sound.sha256] = spoken
            while len(self._heard) > MAX_RECORDINGS:
                del self._heard[next(iter(self._heard))]
            self.server.send_to(visitor, {"kind": "heard", "text": spoken.heard, "recording": spoken.sound.sha256})
        finally:
            self._listening = False

    def _touch(self, visitor: str) -> None:
        """Raises BadInput unless it is the visitor's turn."""
        if self.watch:
            raise BadInput("This page only watches: another process plays.")
        self._schedule.touch()
        if not self.visitors.may_play(visitor):
            raise BadInput("It is somebody else's turn; ask for yours.")

    def _receive(self, visitor: str, request: Request) -> None:
        if request.get("do") == "ask" and not self.watch:
            return self.visitors.ask(visitor)
        self._touch(visitor)
        if request.get("do") == "pass":
            return self.visitors.pass_on()
        if request.get("do") == "export":
            return self._export(request)
        if request.get("do") == "replay":
            index = request.get("index")
            if index not in [each["index"] for each in self.old_episodes]:
                raise BadInput("There is no such episode.")
            return self._send({"do": "replay", "folder": str(self.old), "index": index})
        if request.get("do") == "follow":
            return self._follow(request.get("on") is True)
        if request.get("do") == "listen":
            return self.hearing.wake()
        return self._send({**self.choices.command(request), "speech": self._speech(request)})

    def _follow(self, on: bool) -> None:
        self.scene.follow(on)
        self.server.send({"kind": "follow", "on": on})

    def _speech(self, request: Request) -> dict[str, str]:
        """The record of the recording whose words a page sends, {} if they were typed. It is kept in the journal."""
        name = request.get("recording")
        spoken = self._heard.get(name) if isinstance(name, str) else None
        if spoken is None:
            return {}
        self.journal.keep(spoken.sound.wav, "wav")
        return dict(spoken.record())

    def pull(self, name: str, to: tuple[float, float, float] | None) -> None:
        """A visitor drags an object of the scene to a point, or lets it go."""
        if to and name not in self._held and not self.session.playing:
            self.journal.write("refused", text=NOTHING_MOVES)
        self._held = self._held | {name} if to else self._held - {name}
        with suppress(BadInput):  # no numbers of a pointer: a script sent them, and there is nobody to tell
            self._send({"do": "pull", "object": name, "to": checked_target(to)})

    def _send(self, command: dict[str, Any]) -> None:
        """Sends the player a command. A player that has just died is started again soon."""
        with self._sending, suppress(OSError):
            self._pipe.send(command)

    def _start_player(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, self.folder, self.models[0], self.seed)
        self._process = context.Process(target=serve_player, args=arguments, daemon=True, name="qwenarm player")
        self._process.start()
        theirs.close()

    async def _watch_over(self) -> None:
        """Passes turns on, restarts a player that has died, and goes on with the tour."""
        stops = tour(self.choices, self.models[0])
        while True:
            await asyncio.sleep(CHECK_PERIOD_S)
            goes_on = bool(self.session.playing) and not self.session.paused
            if self.visitors.update(goes_on):
                self._tell_turns()
            if self.watch:
                continue
            if not self._process.is_alive():
                self.session.playing = 0
                self.journal.write("refused", text="The player has died and was started again.")
                self._start_player()
            run = max(self.session.started_at, default=0)
            if self.kiosk and self.session.ready and self._schedule.is_due(goes_on, run):
                self._take_back()
                self._send(next(stops))

    def _take_back(self) -> None:
        """The tour goes on: whoever has played has left, and what they set goes as well."""
        if self.visitors.player:
            self.visitors.pass_on()
            self._tell_turns()
        if self.scene.follows:
            self._follow(False)
        if self.scene.speed != 1:
            self._send({"do": "speed", "speed": 1.0})

    def _tell_turns(self) -> None:
        if self.visitors.player != self._holder:  # whose turn is over is not heard any more, not even letting go
            self._holder = self.visitors.player
            for name in self._held:
                self.pull(name, None)

        def event_for(visitor: str) -> dict[str, Any]:
            waiting, place = len(self.visitors.waiting), self.visitors.place(visitor)
            taken = bool(self.visitors.player) or waiting > 0
            return {"kind": "turn", "place": place, "taken": taken, "waiting": waiting, "visitors": len(self.visitors)}

        self.server.send_each(event_for)

    def _export(self, request: Request) -> None:
        to = request.get("format")
        known = [each["run"] for each in self.session.gallery if each.get("can_be_filmed")]
        run = next((run for run in known if run == request.get("run")), None)
        if run is None or to not in EXPORT_FILES:
            formats = ", ".join(EXPORT_FILES)
            raise BadInput(f"Only a finished run can be exported, as {formats}, if no visitor took part in it.")
        self.exports.make(run, str(to))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _old_episodes(folder: Path) -> list[dict[str, Any]]:
    """What the page lists of a trace: its last episodes. Raises BadInput when there are none."""
    found = [
        {
            "index": index,
            "instruction": head.instruction,
            "outcome": str(head.outcome),
            "task": head.run.config.task,
            "words": head.run.config.words,
        }
        for index, (_, head) in enumerate(scan(folder))
    ]
    if not found:
        raise BadInput(f"There is no episode in {folder}: name the folder of a run or of an evaluation.")
    return found[-MAX_OLD_EPISODES:]

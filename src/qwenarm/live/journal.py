"""The journal of a session: what the player writes while it plays, and all that viewers read.

A folder::

    journal.jsonl          one JSON object per line, appended as it happens and never rewritten
    assets/<hash>.SUFFIX   camera frames, 3-D meshes and recordings, named by their content
    runs/<number>/         trace, page, films and recordings of each finished run

Every line has ``kind``, ``at`` (seconds since the epoch) and ``run`` (a number, 0 for none). Live view, replay and
watching the run of another process all read these same lines.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any, TextIO

import numpy as np

from qwenarm.episode.locks import lock
from qwenarm.episode.trace import plain, png
from qwenarm.errors import BadInput

JOURNAL_FILE = "journal.jsonl"
RESERVATION_FILE = "recording.lock"
"""Locked by whoever records one of many episodes; holds the number of the run that was recorded last."""
ASSET_NAME = re.compile(r"[0-9a-f]{24}\.(png|glb|wav)")
CHUNK_BYTES = 1 << 22
"""Maximum number of bytes that are read at once."""
MAX_LINE_BYTES = 1 << 26
"""Nobody writes a longer line; what is longer is read as several lines that are no events."""

JournalEvent = dict[str, Any]


class Journal:
    """Appends to a journal. Several threads may write.

    Raises BadInput when the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._lock = folder, Lock()
        self._reservation: TextIO | None = None
        try:
            (folder / "assets").mkdir(parents=True, exist_ok=True)
            self._file = open(folder / JOURNAL_FILE, "ab", buffering=0)  # noqa: SIM115  (it stays open)
        except OSError as error:
            raise BadInput(f"Cannot write to {folder}: {error.strerror}; choose another folder.") from error

    def write(self, kind: str, run: int = 0, **fields: Any) -> None:
        """Appends one event."""
        line = json.dumps({"kind": kind, "at": round(time.time(), 3), "run": run, **fields}, default=plain)
        with self._lock:
            self._file.write(line.encode() + b"\n")

    def keep(self, data: bytes, suffix: str) -> str:
        """Stores an asset under the hash of its content; returns its name."""
        name = asset_name(hashlib.sha256(data).hexdigest(), suffix)
        path = self.folder / "assets" / name
        if not path.exists():
            part = path.with_suffix(".part")
            part.write_bytes(data)
            part.replace(path)
        return name

    def keep_picture(self, rgb: np.ndarray) -> str:
        """Stores an RGB picture (H, W, 3) uint8; returns its name."""
        return self.keep(png(rgb), "png")

    def last_run(self) -> int:
        """The highest number of a run so far, 0 if there is none."""
        reader, last = JournalReader(self.folder), 0
        while events := list(reader.new_events()):
            last = max(last, max(event["run"] for _, event in events))
        return last

    def reserve(self) -> int:
        """Returns the number of a new run, 0 while another journal of this folder, in any process, has reserved one."""
        file = open(self.folder / RESERVATION_FILE, "a+")  # noqa: SIM115  (kept until ``release``)
        if not lock(file):
            file.close()
            return 0
        file.seek(0)
        run = 1 + int(file.read() or self.last_run())
        file.truncate(0)
        file.write(str(run))
        file.flush()
        self._reservation = file
        return run

    def release(self) -> None:
        """Gives the reservation up, if there is one. The end of the process does the same."""
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def run_folder(folder: Path, run: int) -> Path:
    """Where the files of a run are kept in the folder of a journal."""
    return folder / "runs" / f"{run:04d}"


class JournalReader:
    """Reads what is appended to a journal, from a byte offset on. A line that is no event is skipped."""

    def __init__(self, folder: Path, offset: int = 0) -> None:
        self.folder, self.offset = folder, offset

    def new_events(self) -> Iterator[tuple[int, JournalEvent]]:
        """(offset of its line, event) for every complete line since the last call."""
        try:
            with open(self.folder / JOURNAL_FILE, "rb") as file:
                file.seek(self.offset)
                data = file.read(CHUNK_BYTES)
                if b"\n" not in data:  # one long line, or the part of one that has been written
                    data += file.readline(MAX_LINE_BYTES)
        except FileNotFoundError:
            return
        end = data.rfind(b"\n") + 1 or (len(data) if len(data) >= MAX_LINE_BYTES else 0)
        for line in io.BytesIO(data[:end]):
            offset, self.offset = self.offset, self.offset + len(line)
            event = parse_event(line)
            if event is not None:
                yield offset, event


def parse_event(line: bytes) -> JournalEvent | None:
    """The event in a line, or None if it is none: the file may be anybody's."""
    try:
        event = json.loads(line)
        sound = isinstance(event["kind"], str) and isinstance(event["run"], int) and event["at"] > 0
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return event if sound else None


def asset_name(sha256: str, suffix: str) -> str:
    """The name of an asset with this hash, in hexadecimal digits."""
    return f"{sha256[:24]}.{suffix}"


def read_asset(folder: Path, name: str) -> bytes | None:
    """The bytes of an asset; None if there is no such asset. No other file can be named."""
    if not ASSET_NAME.fullmatch(name):
        return None
    try:
        return (folder / "assets" / name).read_bytes()
    except OSError:
        return None

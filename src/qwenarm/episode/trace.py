"""Where finished episodes are kept, and the only thing that evaluation, pages, replay and training read.

A trace is a folder::

    episodes.jsonl       one line per episode, appended and fsynced; never rewritten
    frames/<hash>.png    every picture that a policy or a model saw, named by its content: equal ones are stored once
    *.mp4, *.html        films and pages, if somebody made them

A line is the JSON of one ``Episode`` (see ``episode_json.py``) with the version of its schema. Depth images are not
kept: they are the skills' instrument, no policy is shown them.

A process that dies while it writes leaves at most one broken last line. Reading reports and skips it; the next append
starts on a fresh line. When the disk is full the file is cut back to its last whole line and ``BadInput`` says so.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np
from PIL import Image

from qwenarm.episode.episode_json import GetImage, from_json, to_json
from qwenarm.errors import BadInput
from qwenarm.types import Episode

FILE = "episodes.jsonl"


@dataclass(frozen=True)
class Reading:
    """What a trace holds. problems: one sentence per line that could not be read; such lines are skipped."""

    episodes: tuple[Episode, ...]
    problems: tuple[str, ...] = ()


class Trace:
    """A folder of episodes that can be appended to. Several processes may append to the same one.

    Raises BadInput when the folder cannot be made or written to.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        try:
            (self.folder / "frames").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"Cannot keep episodes in {self.folder}: {error.strerror}; choose another folder."
            ) from error

    def append(self, episode: Episode) -> None:
        """Store one episode: its pictures first, then its line, synced to the disk. All or nothing."""
        self.store(pack(episode, lambda name: (self.folder / name).exists()))

    def store(self, packed: Packed) -> None:
        """Store an episode that was packed, here or elsewhere."""
        try:
            for name, data in packed.pictures.items():
                self._put(name, data)
            append_line(self.folder / FILE, packed.line)
        except OSError as error:
            raise BadInput(
                f"Cannot write to {self.folder}: {error.strerror}; this episode is not stored, earlier ones are whole."
            ) from error

    def _put(self, name: str, data: bytes) -> None:
        """A picture appears under its name only when it is whole: others may be reading or writing the same one."""
        path = self.folder / name
        if path.exists():
            return
        part = path.with_suffix(f".{os.getpid()}-{get_ident()}.part")
        try:
            part.write_bytes(data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


@dataclass(frozen=True)
class Packed:
    """An episode as it is stored, and as it travels between processes. pictures: PNG bytes by their names."""

    line: str
    pictures: Mapping[str, bytes]


def pack(episode: Episode, stored: Callable[[str], bool] = lambda name: False) -> Packed:
    """The episode's line and pictures. stored: tells of a picture, by its name, whether it may be left out."""
    pictures: dict[str, bytes] = {}
    names: dict[int, str] = {}  # by identity: what a policy sees is often the very array that its model is shown

    def put(rgb: np.ndarray) -> str:
        if id(rgb) not in names:
            names[id(rgb)] = keep(rgb)
        return names[id(rgb)]

    def keep(rgb: np.ndarray) -> str:
        digest = hashlib.sha256(repr(rgb.shape).encode() + np.ascontiguousarray(rgb).tobytes()).hexdigest()[:24]
        name = f"frames/{digest}.png"
        if name not in pictures and not stored(name):
            pictures[name] = png(rgb)
        return name

    return Packed(json.dumps(to_json(episode, put), default=_plain) + "\n", pictures)


def _plain(value: Any) -> Any:
    """numpy scalars as Python numbers; anything else in ``setup`` is a programming error."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} does not belong in a trace")


def append_line(path: Path, line: str) -> None:
    """Append a line that ends in a newline and sync it; on any OSError the file is as it was before."""
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = file.seek(0, os.SEEK_END)
        try:
            file.write(_missing_newline(path, size) + line.encode())
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, size)
            raise


def _missing_newline(path: Path, size: int) -> bytes:
    """A newline when the file's last line was left half-written, else nothing."""
    if size == 0:
        return b""
    with open(path, "rb") as file:
        file.seek(size - 1)
        return b"" if file.read(1) == b"\n" else b"\n"


def read(source: Path | str, images: bool = True) -> Reading:
    """All episodes of a trace. source: its folder, or the ``episodes.jsonl`` in it.

    images: with False no PNG is opened, and observations and prompts come without pictures (much faster).
    Raises BadInput when nothing can be read there at all.
    """
    path = Path(source)
    path = path / FILE if path.is_dir() else path
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise BadInput(
            f"Cannot read episodes from {source}: {error.strerror}; expected a folder with {FILE}."
        ) from error
    get_image = _image_reader(path.parent) if images else None
    episodes, problems = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            episodes.append(from_json(json.loads(line), get_image))
        except (ValueError, KeyError, TypeError, OSError, AttributeError) as error:
            where = "the last line is half-written" if number == len(lines) else f"line {number} is unreadable"
            problems.append(f"{path}: {where} and was skipped ({type(error).__name__}: {error}).")
    return Reading(tuple(episodes), tuple(problems))


def entries(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(offset in bytes, object) of every whole line of a JSONL file; a half-written one is not there. Without the file
    there are none.
    """
    if not path.exists():
        return
    offset = 0
    with open(path, "rb") as file:
        for line in file:
            try:
                data = json.loads(line)
            except ValueError:
                data = None
            if isinstance(data, dict):
                yield offset, data
            offset += len(line)


def read_at(folder: Path, offset: int, get_image: GetImage | None = None) -> Episode:
    """The episode whose line begins at an offset in bytes, with its pictures. get_image: gives them instead of the PNG.

    Raises BadInput when a picture is missing or the line cannot be read.
    """
    try:
        with open(folder / FILE, "rb") as file:
            file.seek(offset)
            return from_json(json.loads(file.readline()), get_image or _image_reader(folder))
    except (ValueError, KeyError, TypeError, OSError, AttributeError) as error:
        where = f"{folder / FILE} at byte {offset}"
        raise BadInput(f"The episode in {where} cannot be read ({type(error).__name__}: {error}).") from error


def _image_reader(folder: Path) -> GetImage:
    def get(name: str) -> np.ndarray:
        with Image.open(folder / name) as picture:
            return np.asarray(picture.convert("RGB"))

    return get


def png(rgb: np.ndarray) -> bytes:
    """PNG bytes of an RGB picture (H, W, 3) uint8."""
    buffer = BytesIO()
    # Drawn pictures are mostly even: runs alone (zlib's Z_RLE) make files as small as its default does, and faster.
    Image.fromarray(rgb).save(buffer, "png", compress_level=1, compress_type=3)
    return buffer.getvalue()

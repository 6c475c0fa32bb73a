"""The storage of finished episodes. Evaluation, pages, replay and training read nothing else.

A trace is a folder::

    episodes.jsonl       one line per episode, appended and fsynced; never rewritten
    frames/<hash>.png    every image that a policy or a model saw, named by its content; equal ones are stored once
    *.mp4, *.html        films and pages, if any

A line is one ``Episode`` as JSON (see ``episode_json.py``)::

    {"schema": 2, "crc32": of the rest, "run": {...}, "outcome": ..., ..., "turns": [...], "tools": {...}}

Scores need only what comes before the turns, about a fifth of a line, so ``scan`` parses no more than that. The
checksum still finds damage anywhere in the line. Depth images are not kept: they are an instrument of the skills, and
no policy is shown them.

A process that dies while it writes leaves at most one half-written last line. Readers ignore it, and the next append
starts on a new line. When the disk is full, the file is cut back to its last complete line and ``BadInput`` says so.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from threading import get_ident
from typing import Any
from zlib import crc32

import numpy as np
from PIL import Image

from qwenarm.episode.episode_json import (
    SCHEMA_VERSION,
    GetImage,
    Head,
    frames_from_json,
    head_from_json,
    head_to_json,
    turns_from_json,
    turns_to_json,
)
from qwenarm.episode.jsonl import MAX_REASON_CHARS, Damage, Line, append_line, read_jsonl
from qwenarm.errors import BadInput, shortened
from qwenarm.types import Episode

PNG_URL_PREFIX = "data:image/png;base64,"
EPISODES_FILE = "episodes.jsonl"
RECORDING_FILE = "instruction.wav"
"""The recording of a spoken instruction, beside the trace."""
CHECKSUM_FIELD, TURNS_FIELD = b', "crc32": ', b', "turns": '
"""Separators between the parts of a line."""


@dataclass(frozen=True)
class Reading:
    """The content of a trace. ``problems`` has sentences about lines that could not be read."""

    episodes: tuple[Episode, ...]
    problems: tuple[str, ...] = ()


class Trace:
    """A folder of episodes that can be appended to, also by several processes.

    Raises BadInput if the folder cannot be created or written to.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        try:
            (self.folder / "frames").mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=self.folder).close()  # fail before anything is played
        except OSError as error:
            raise BadInput(
                f"Cannot keep episodes in {self.folder}: {error.strerror}; choose another folder."
            ) from error

    def append(self, episode: Episode) -> None:
        """Stores one episode: its images first, then its line, synced to disk. All or nothing."""
        self.store(pack(episode, lambda name: (self.folder / name).exists()))

    def store(self, packed: Packed) -> None:
        """Stores an episode that was packed, here or elsewhere."""
        try:
            for name, data in packed.pictures.items():
                self._put(name, data)
            append_line(self.folder / EPISODES_FILE, packed.line)
        except OSError as error:
            raise BadInput(
                f"Cannot write to {self.folder}: {error.strerror}; this episode is not stored, earlier ones are intact."
            ) from error

    def _put(self, name: str, data: bytes) -> None:
        """Stores an image atomically under its name, because others may be reading or writing the same one."""
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
    """An episode as it is stored and sent between processes. ``pictures`` are PNG bytes by name."""

    line: str
    pictures: Mapping[str, bytes]


def pack(episode: Episode, stored: Callable[[str], bool] = lambda name: False) -> Packed:
    """Returns the episode's line and images. ``stored`` says, for the name of an image, whether it may be left out."""
    pictures: dict[str, bytes] = {}
    names: dict[int, str] = {}  # by identity: a policy often sees the same array as its model

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

    head, turns = head_to_json(episode), turns_to_json(episode, put)
    return Packed(to_line({**head, **turns}), pictures)


def to_line(fields: Mapping[str, Any]) -> str:
    """Returns a line with schema and checksum. ``fields`` are those of the head, then the turns."""
    rest = json.dumps(fields, default=plain)[1:]
    return f'{{"schema": {SCHEMA_VERSION}{CHECKSUM_FIELD.decode()}{crc32(rest.encode())}, {rest}\n'


def _from_line(line: bytes) -> tuple[dict[str, Any], bytes]:
    """Returns the fields before the turns, and the JSON of the rest. Raises ValueError for a damaged line."""
    start, mark, rest = line.rstrip().partition(CHECKSUM_FIELD)
    schema = json.loads(start + b"}" if mark else line)["schema"]
    if schema != SCHEMA_VERSION:
        raise ValueError(f"schema {schema} is of another version of qwenarm, this one reads {SCHEMA_VERSION}")
    checksum, _, fields = rest.partition(b", ")
    if crc32(fields) != int(checksum):
        raise ValueError("its checksum does not match")
    head, mark, turns = fields.partition(TURNS_FIELD)
    return json.loads(b"{" + head + b"}"), b"{" + mark[2:] + turns


def plain(value: Any) -> Any:
    """Returns a numpy scalar as a Python number. Raises TypeError for anything else that is not JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} does not belong in a trace")


def scan(folder: Path, problems: list[str] | None = None) -> Iterator[tuple[Line, Head]]:
    """Yields every episode of a trace without its turns, with its line. For ``problems`` see ``read_jsonl``."""
    return read_jsonl(folder / EPISODES_FILE, lambda line: head_from_json(_from_line(line)[0]), problems)


def read(source: Path | str, images: bool = True) -> Reading:
    """Reads all episodes of a trace.

    Args:
        source: The folder, or the ``episodes.jsonl`` in it.
        images: Whether to load images. Without them reading is much faster.

    Raises:
        BadInput: There is nothing to read.
    """
    path = Path(source)
    path = path / EPISODES_FILE if path.is_dir() else path
    if not path.is_file():
        raise BadInput(f"Cannot read episodes from {source}: expected a folder with {EPISODES_FILE}.")
    problems: list[str] = []
    get_image = _image_reader(path.parent) if images else None
    episodes = [episode for _, episode in read_jsonl(path, lambda line: _episode(line, get_image), problems)]
    return Reading(tuple(episodes), tuple(problems))


def read_at(folder: Path, offset: int, get_image: GetImage | None = None) -> Episode:
    """Reads the episode whose line begins at an offset.

    Args:
        folder: The trace.
        offset: In bytes, as ``Line.offset``.
        get_image: Returns an image by name; by default it is read from its PNG file.

    Raises:
        BadInput: The line or one of its images cannot be read.
    """
    try:
        with open(folder / EPISODES_FILE, "rb") as file:
            file.seek(offset)
            return _episode(file.readline(), get_image or _image_reader(folder))
    except Damage as error:
        where = f"{folder / EPISODES_FILE} at byte {offset}"
        why = shortened(f"{type(error).__name__}: {error}", MAX_REASON_CHARS)
        raise BadInput(f"The episode in {where} cannot be read ({why}).") from error


def _episode(line: bytes, get_image: GetImage | None) -> Episode:
    fields, rest = _from_line(line)
    head = head_from_json(fields)
    data = json.loads(rest)
    turns, last = turns_from_json(data, head.curve, get_image), frames_from_json(data["last_frames"], get_image)
    judged = head.outcome, head.progress, head.final_hash, head.detail
    return Episode(head.run, head.instruction, turns, *judged, last, head.side_effects)


def _image_reader(folder: Path) -> GetImage:
    def get(name: str) -> np.ndarray:
        with open_picture(folder, name) as picture:
            return np.asarray(picture.convert("RGB"))

    return get


def open_picture(folder: Path, name: str) -> Image.Image:
    """Opens an image in a trace. Raises ValueError or OSError for a name that leads out of it, and for no image."""
    try:
        return Image.open(picture_path(folder, name))
    except Image.DecompressionBombError as error:
        raise ValueError(f"{name!r} is no frame: {error}") from None


def picture_path(folder: Path, name: str) -> Path:
    """Returns the path of an image in a trace. Raises ValueError for a name that leads out of the trace."""
    path = os.path.realpath(folder / name)
    if not path.startswith(os.path.join(os.path.realpath(folder), "")):
        raise ValueError(f"{name!r} leads out of {folder}")
    return Path(path)


def png_url(data: bytes) -> str:
    """Returns the address of a PNG that is inside of a page or a message."""
    return PNG_URL_PREFIX + b64encode(data).decode()


def png(rgb: np.ndarray) -> bytes:
    """Encodes an RGB image (H, W, 3) uint8 as PNG."""
    buffer = BytesIO()
    # Rendered images are mostly uniform: zlib's Z_RLE makes files as small as the default does, but faster.
    Image.fromarray(rgb).save(buffer, "png", compress_level=1, compress_type=3)
    return buffer.getvalue()

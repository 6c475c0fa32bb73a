"""Files with one JSON object per line, appended one synced line at a time, and readable in spite of damage."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

MAX_LISTED_LINES = 5
"""Maximum number of damaged lines that are listed by number; if there are more, they are only counted."""
Damage = (ValueError, KeyError, TypeError, AttributeError, OSError, OverflowError, RecursionError)
"""Exceptions that parsing a damaged line may raise."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a JSONL file, with its number from 1 and its offset in bytes."""

    number: int
    offset: int
    data: bytes


def append_line(path: Path, line: str) -> None:
    """Appends a line that ends in a newline and syncs it. On an OSError the file is left as it was."""
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
    """Returns a newline if the file's last line is incomplete, else nothing."""
    if size == 0:
        return b""
    with open(path, "rb") as file:
        file.seek(size - 1)
        return b"" if file.read(1) == b"\n" else b"\n"


def read_jsonl(path: Path, parse: Callable[[bytes], T], problems: list[str] | None = None) -> Iterator[tuple[Line, T]]:
    """Yields every line of a JSONL file with the result of ``parse``.

    A last line without a newline is ignored: it is still being written, or its writer died. A line that ``parse``
    cannot read is left out.

    Args:
        path: The file. If it does not exist, it has no lines.
        parse: Parses a line, or raises one of ``Damage``.
        problems: Gets a sentence about lines that were left out, once all lines have been read.
    """
    damaged: list[tuple[int, Exception]] = []
    for line in _lines(path) if path.exists() else ():
        try:
            found = parse(line.data)
        except Damage as error:
            damaged.append((line.number, error))
            continue
        yield line, found
    if damaged and problems is not None:
        problems.append(_damage_text(path, damaged))


def _lines(path: Path) -> Iterator[Line]:
    offset = 0
    with open(path, "rb") as file:
        for number, data in enumerate(file, 1):
            if data.endswith(b"\n") and data.strip():
                yield Line(number, offset, data)
            offset += len(data)


def _damage_text(path: Path, damaged: Sequence[tuple[int, Exception]]) -> str:
    """Returns, for example, "x.jsonl: lines 3 and 7 cannot be read and do not count (KeyError: 'run')." """
    *others, last = (str(number) for number, _ in damaged[:MAX_LISTED_LINES])
    error = damaged[0][1]
    if len(damaged) > MAX_LISTED_LINES:
        which = f"lines {', '.join([*others, last])} and {len(damaged) - MAX_LISTED_LINES} more"
    else:
        which = f"lines {', '.join(others)} and {last}" if others else f"line {last}"
    return (
        f"{path}: {which} cannot be read and {'do' if others else 'does'} not count ({type(error).__name__}: {error})."
    )

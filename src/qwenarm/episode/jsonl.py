"""Files with one JSON object per line: appended to, one synced line at a time, and read in spite of damage."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

NAMED_LINES = 5
"""Damaged lines that are named by their numbers; of more than that only the count is told."""
Damage = (ValueError, KeyError, TypeError, AttributeError, OSError, OverflowError, RecursionError)
"""What parsing a damaged line may raise."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a JSONL file. number: from 1. offset: where it begins, bytes."""

    number: int
    offset: int
    data: bytes


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


def read_jsonl(path: Path, parse: Callable[[bytes], T], problems: list[str] | None = None) -> Iterator[tuple[Line, T]]:
    """Every line of a JSONL file with what ``parse`` makes of it, one at a time.

    A last line without its newline is still being written, or was when its writer died: it is ignored. A line that
    ``parse`` cannot read is left out.

    Args:
        path: The file. If it does not exist, it has no lines.
        parse: Makes something of a line, or raises one of ``Damage``.
        problems: Where a sentence about lines that were left out is added, once all lines have been read.
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
    """ "x.jsonl: lines 3 and 7 cannot be read and do not count (KeyError: 'run')." """
    *others, last = (str(number) for number, _ in damaged[:NAMED_LINES])
    error = damaged[0][1]
    if len(damaged) > NAMED_LINES:
        which = f"lines {', '.join([*others, last])} and {len(damaged) - NAMED_LINES} more"
    else:
        which = f"lines {', '.join(others)} and {last}" if others else f"line {last}"
    return (
        f"{path}: {which} cannot be read and {'do' if others else 'does'} not count ({type(error).__name__}: {error})."
    )

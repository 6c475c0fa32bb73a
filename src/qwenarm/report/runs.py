"""Reads what an evaluation left (see ``ledger.py``), as far as tables and plots need it.

Of each line only a small record is kept, with the place of the line, so that a report of many thousand episodes fits
into memory. Whatever could not be read or counted is told in ``Run.problems``; nothing is left out in silence.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qwenarm.diagnosis.attribute import FILE as CAUSES
from qwenarm.episode.trace import FILE
from qwenarm.errors import BadInput
from qwenarm.evaluation.ledger import MANIFEST, Key
from qwenarm.report.manifests import checked_manifest, missing
from qwenarm.report.records import NO_CAUSE, Cause, Record, Run

Tell = Callable[[int], object]
"""Is told how many more bytes have been read."""


def newest_run(home: Path) -> Path:
    """The evaluation below a folder whose ledger was written to last. Raises BadInput where there is none."""
    ledgers = [path.parent / FILE for path in home.glob(f"*/{MANIFEST}") if (path.parent / FILE).is_file()]
    if not ledgers:
        raise BadInput(f"There is no evaluation in {home}/; play one with `qwenarm eval`, or name its folder.")
    return max(ledgers, key=lambda path: path.stat().st_mtime).parent


def read_runs(folders: Sequence[Path], tell: Tell = lambda _: None) -> list[Run]:
    """All the runs, each under a name of its own. Raises BadInput for a folder without a single episode."""
    places = list(dict.fromkeys(path.resolve() for path in folders))
    return [read_run(path, name, tell) for path, name in zip(places, _names(places), strict=True)]


def read_run(folder: Path, name: str = "", tell: Tell = lambda _: None) -> Run:
    """One run. Raises BadInput when there is no episode of an evaluation to be read."""
    problems: list[str] = []
    manifest = checked_manifest(folder, problems)
    reader = _Reader(folder, _causes(folder, problems))
    try:
        for number, (offset, line) in enumerate(_lines(folder / FILE)):
            reader.take(number, offset, line)
            tell(len(line))
    except OSError as error:
        raise BadInput(f"Cannot read {folder}: {error.strerror}; expected a folder with {FILE}.") from error
    problems += reader.problems()
    if not reader.records:
        told = " ".join(problems)
        raise BadInput(f"{folder} holds no episode of an evaluation; fill it with `qwenarm eval --out`. {told}".strip())
    problems += missing(folder, manifest, reader.records)
    return Run(folder, name or folder.name, manifest, tuple(reader.records), tuple(problems))


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, with so many of their parents that no two are the same."""
    depth = 1
    while len({path.parts[-depth:] for path in folders}) < len(folders):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in folders]


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every line that is not empty, with its offset."""
    offset = 0
    with open(path, "rb") as file:
        for line in file:
            if line.strip():
                yield offset, line
            offset += len(line)


class _Reader:
    """Takes the lines of a ledger, keeps records, and counts what is wrong with them."""

    def __init__(self, folder: Path, causes: Mapping[Key, Cause]) -> None:
        self.folder, self.causes = folder, causes
        self.records: list[Record] = []
        self._keys: set[Key] = set()
        self._wrong: Counter[str] = Counter()
        self._half_written = False

    def take(self, number: int, offset: int, line: bytes) -> None:
        try:
            data = json.loads(line)
            record = self._record(data, number, offset) if "key" in data["setup"] else None
        except (ValueError, KeyError, TypeError, AttributeError):
            self._half_written = not line.endswith(b"\n")
            self._wrong["cannot be read and do not count"] += not self._half_written
            return
        if record is None:
            self._wrong["were not played by `qwenarm eval` and do not count"] += 1
        elif record.key in self._keys:
            self._wrong["stand there a second time and do not count again"] += 1
        else:
            self._keys.add(record.key)
            self.records.append(record)
            self._wrong["lack measurements, because a watcher failed"] += bool(
                data["setup"].get("watchers that failed")
            )
            self._wrong["crashed; they count as failures, and their pages show why"] += record.outcome == "crashed"
            self._wrong["could not be judged; they count as failures"] += record.outcome == "unjudged"

    def _record(self, data: Mapping[str, Any], number: int, offset: int) -> Record:
        setup = data["setup"]
        key, options = Key(**setup["key"]), setup["options"]
        return Record(
            key=key,
            role=options["policy"],
            model=options.get("model", ""),
            altitude=options.get("altitude", ""),
            cameras=options.get("cameras", ""),
            instruction=data["instruction"],
            outcome=data["outcome"],
            progress=float(data["progress"]),
            curve=tuple(float(turn["progress"]) for turn in data["turns"]),
            metrics=setup.get("metrics", {}),
            cause=self.causes.get(key),
            line=number,
            offset=offset,
        )

    def problems(self) -> Iterator[str]:
        for what, count in self._wrong.items():
            if count:
                yield f"{self.folder}: {count} of its lines {what}."
        if self._half_written:
            yield f"{self.folder}: the last line is half-written and does not count; the same `qwenarm eval` goes on."


def _causes(folder: Path, problems: list[str]) -> dict[Key, Cause]:
    """What attribution says, by key; {} where it was not asked."""
    path, found, bad = folder / CAUSES, dict[Key, Cause](), 0
    for _, line in _lines(path) if path.exists() else ():
        try:
            data = json.loads(line)
            also = tuple(map(str, data.get("also", ())))
            found[Key(**data["key"])] = Cause(str(data["cause"]), also, str(data.get("why", "")))
        except (ValueError, KeyError, TypeError):
            bad += 1
    if bad:
        problems.append(f"{path}: {bad} lines cannot be read; their episodes appear as {NO_CAUSE!r}.")
    return found

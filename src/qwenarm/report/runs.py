"""Reads what an evaluation left (see ``ledger.py``), as far as tables and plots need it.

Of each line only a small record is kept, with the place of the line, so that a report of many thousand episodes fits
into memory. Whatever could not be read or counted is told in ``Run.problems``; nothing is left out in silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from sys import intern

from qwenarm.diagnosis.attribute import findings
from qwenarm.episode.episode_json import Head
from qwenarm.episode.jsonl import Line
from qwenarm.episode.trace import EPISODES_FILE, scan
from qwenarm.errors import BadInput
from qwenarm.evaluation.ledger import MANIFEST_FILE, Key
from qwenarm.report.manifests import checked_manifest, missing
from qwenarm.report.records import Cause, Record, Run
from qwenarm.types import Outcome

Tell = Callable[[int], object]
"""Is told how many more bytes have been read."""


def newest_run(home: Path) -> Path:
    """The evaluation below a folder whose ledger was written to last. Raises BadInput where there is none."""
    ledgers = [
        path.parent / EPISODES_FILE
        for path in home.glob(f"*/{MANIFEST_FILE}")
        if (path.parent / EPISODES_FILE).is_file()
    ]
    if not ledgers:
        raise BadInput(f"There is no evaluation in {home}/; play one with `qwenarm eval`, or name its folder.")
    return max(ledgers, key=lambda path: path.stat().st_mtime).parent


def read_runs(folders: Sequence[Path], tell: Tell = lambda _: None) -> list[Run]:
    """All the runs, each under a name of its own. Raises BadInput for a folder without a single episode."""
    places = list(dict.fromkeys(path.resolve() for path in folders))
    return [read_run(path, name, tell) for path, name in zip(places, _names(places), strict=True)]


def read_run(folder: Path, name: str = "", tell: Tell = lambda _: None) -> Run:
    """One run. Raises BadInput when it holds no episode of an evaluation."""
    if not (folder / EPISODES_FILE).is_file():
        raise BadInput(f"There is no {EPISODES_FILE} in {folder}; name a folder that `qwenarm eval` has filled.")
    problems: list[str] = []
    manifest = checked_manifest(folder, problems)
    records = list(_records(folder, _causes(folder, problems), problems, tell))
    if not records:
        told = " ".join(problems)
        raise BadInput(f"{folder} holds no episode of an evaluation; fill it with `qwenarm eval --out`. {told}".strip())
    problems += missing(folder, manifest, records)
    return Run(folder, name or folder.name, manifest, tuple(records), tuple(problems))


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, with so many of their parents that no two are the same."""
    depth = 1
    while len({path.parts[-depth:] for path in folders}) < len(folders):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in folders]


def _records(folder: Path, causes: Mapping[Key, Cause], problems: list[str], tell: Tell) -> Iterator[Record]:
    """Every episode that counts, once. Sentences about the others are added to the problems."""
    keys, counts = set[Key](), Counter[str]()
    for line, head in scan(folder, problems):
        tell(len(line.data))
        record = _record(line, head, causes)
        if not head.run.suite:
            counts["not played by `qwenarm eval`; not counted"] += 1
        elif record.key in keys:
            counts["in the ledger for the second time; not counted again"] += 1
        else:
            keys.add(record.key)
            yield record
            counts["without all their measurements, because a watcher failed"] += bool(head.run.watcher_failures)
            counts["crashed; they count as failures, and their pages show why"] += head.outcome is Outcome.CRASHED
            counts["succeeded with side effects: another object was moved without need"] += bool(head.side_effects)
            counts["could not be judged; they count as failures"] += head.outcome is Outcome.UNJUDGED
    problems += [
        f"{folder.name}: {count} {'episode' if count == 1 else 'episodes'} {what}."
        for what, count in counts.items()
        if count
    ]


def _record(line: Line, head: Head, causes: Mapping[Key, Cause]) -> Record:
    config, key = head.run.config, _interned(Key.of(head.run))
    return Record(
        key=key,
        role=intern(config.policy),
        model=intern(config.model),
        altitude=intern(config.altitude),
        cameras=intern(config.cameras),
        instruction=intern(head.instruction),
        outcome=head.outcome,
        progress=head.progress,
        curve=head.curve,
        metrics={intern(name): value for name, value in head.run.metrics.items()},
        cause=causes.get(key),
        line=line.number - 1,
        offset=line.offset,
        side_effects=head.side_effects,
    )


def _interned(key: Key) -> Key:
    """The same with one copy of each text for all episodes."""
    texts = ("suite", "task", "arm", "combos", "perturbations", "clock", "policy")
    return replace(key, **{name: intern(getattr(key, name)) for name in texts})


def _causes(folder: Path, problems: list[str]) -> dict[Key, Cause]:
    """What attribution says, by key; {} where it was not asked."""
    found = findings(folder, problems)
    return {key: Cause(data["cause"], tuple(data["also"]), data["why"]) for key, data in found.items()}

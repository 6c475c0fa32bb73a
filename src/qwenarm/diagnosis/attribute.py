"""Why episodes failed: every failed episode of a ledger is played again with one module in the place of the oracle's.

What is found is kept beside the ledger, one fsynced line for each episode; an interrupted run goes on::

    attribution.jsonl    {"key": {...}, "cause": "perception", "also": ["control"], "why": "turn 1: ...",
                          "tried": {"nothing": "failure", "perception": "success", ...}, "same": true}

key: that of the episode in the ledger. The other fields are those of ``causes.Finding``. Modules and how each is
replaced (see ``replaced.py`` and ``hands.py``):

    format      an unreadable answer becomes the oracle's call
    perception  a point that is off the thing that its label names is put onto it
    plan        every call becomes the oracle's, with the policy's own points
    safety      nothing is clamped
    control     skills always succeed: what is pointed at is grasped, what is held comes to where it is pointed
    time        the world waits for decisions, and there are four times as many turns

What a policy says of the scene in words (a count, a verdict) belongs to its plan.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwenarm.diagnosis.workers import Failed, Found, Replays
from qwenarm.episode.jsonl import append_line, read_jsonl
from qwenarm.episode.trace import read_at, scan
from qwenarm.errors import BadInput
from qwenarm.evaluation import ledger
from qwenarm.evaluation.jobs import JobResult, WorkerDied
from qwenarm.evaluation.ledger import Key
from qwenarm.evaluation.local_workers import LocalPool
from qwenarm.evaluation.scheduler import Scheduler, batch_per_worker
from qwenarm.types import Outcome

FILE = "attribution.jsonl"
MODEL_ROLE = "vlm"


@dataclass(frozen=True)
class Told:
    """One episode is done. done, total: of those that were asked for, earlier runs included."""

    failed: Failed
    line: dict[str, Any]
    done: int
    total: int


def attribute(
    folder: Path, roles: Sequence[str] = (), batch: int = 1, workers: int = 1
) -> Generator[Told | WorkerDied, None, None]:
    """Attributes what has not been attributed yet; tells of each episode as it is stored, and of workers that died.

    roles: whose failures; by default the model's, and if none played, everybody's. batch: episodes in lockstep, their
    prompts answered together. workers: processes; whatever their number, the same is found. Stopping it (``close``,
    Ctrl-C) stops them. Raises BadInput where there is no ledger or no such role or no room, ModelUnavailable.
    """
    if workers < 1 or batch < 1:
        raise BadInput("--workers and --batch must be at least 1.")
    with ledger.locked(folder):
        wanted = list(failures(folder, roles))
        there = findings(folder)
        todo: dict[str, list[Failed]] = defaultdict(list)
        for each in wanted:
            if each.key not in there:
                todo[each.model].append(each)
        done = len(wanted) - sum(map(len, todo.values()))
        for group in todo.values():
            with closing(_replayed(folder, group, batch, workers)) as events:
                for event in events:
                    if isinstance(event, Found):
                        _store(folder, event.line)
                        done += 1
                        yield Told(event.failed, event.line, done, len(wanted))
                    elif isinstance(event, WorkerDied):
                        yield event


def _replayed(
    folder: Path, group: Sequence[Failed], batch: int, workers: int
) -> Generator[JobResult | WorkerDied, None, None]:
    """What is found out about the failures of one model. One worker is this process itself."""
    config, roles = read_at(folder, group[0].offset).run.config, tuple(sorted({each.role for each in group}))
    if workers == 1:
        yield from Replays(config, roles, batch, folder=folder).make_worker().work(group)
        return
    workers = min(workers, len(group))
    batch = batch_per_worker(len(group), workers, batch)
    setting = Replays(config, roles, batch, folder=folder)
    with closing(Scheduler(LocalPool(setting), workers, batch)) as scheduler:
        scheduler.start()
        yield from scheduler.run(group)


def _store(folder: Path, line: dict[str, Any]) -> None:
    try:
        append_line(folder / FILE, json.dumps(line) + "\n")
    except OSError as error:
        raise BadInput(f"Cannot write to {folder}: {error.strerror}; what was found before is kept.") from error


def failures(folder: Path, roles: Sequence[str] = ()) -> Iterator[Failed]:
    """The failed episodes of a ledger, each once. Raises BadInput as ``attribute`` does."""
    found = dict[Key, tuple[Failed, bool]]()
    for line, head in scan(folder):
        if head.run.suite:
            config, key = head.run.config, Key.of(head.run)
            failed = Failed(key, config.policy, config.model, line.offset)
            found.setdefault(key, (failed, head.outcome != Outcome.SUCCESS))
    if not found:
        raise BadInput(f"{folder} holds no episode that `qwenarm eval` has played.")
    played = sorted({each.role for each, _ in found.values()})
    if odd := [role for role in roles if role not in played]:
        raise BadInput(f"No {odd[0]!r} played in {folder}; there are: {', '.join(played)}.")
    chosen = roles or ([MODEL_ROLE] if MODEL_ROLE in played else played)
    yield from (each for each, has_failed in found.values() if has_failed and each.role in chosen)


def findings(folder: Path, problems: list[str] | None = None) -> dict[Key, dict[str, Any]]:
    """The lines of attribution.jsonl by the keys of their episodes. problems: as for ``jsonl.read_jsonl``."""
    return dict(found for _, found in read_jsonl(folder / FILE, _finding, problems))


def _finding(line: bytes) -> tuple[Key, dict[str, Any]]:
    data = json.loads(line)
    texts = [data["cause"], data["why"], *data["also"]]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"cause, why and also must be text, not {texts}")
    return Key(**data["key"]), data


def counted(lines: Iterable[dict[str, Any]]) -> dict[tuple[str, int], Counter[str]]:
    """How often each cause was named, by task and level."""
    counts: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for line in lines:
        counts[line["key"]["task"], line["key"]["level"]][line["cause"]] += 1
    return dict(sorted(counts.items()))

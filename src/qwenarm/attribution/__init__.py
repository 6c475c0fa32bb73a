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
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from qwenarm import ledger
from qwenarm.assemble import Choice, choice_of, make_backend, make_env, make_policy
from qwenarm.attribution.causes import Case, find_cause
from qwenarm.errors import BadInput
from qwenarm.ledger import Key
from qwenarm.mind.backends import Backend
from qwenarm.rollout import Play, drive
from qwenarm.trace import FILE as LEDGER
from qwenarm.trace import append_line, entries, read_at
from qwenarm.types import Completion, Episode, Outcome, Prompt

FILE = "attribution.jsonl"
MODEL_ROLE = "vlm"


@dataclass(frozen=True)
class Failed:
    """A failed episode of a ledger. offset: of its line, bytes."""

    key: Key
    role: str
    model: str
    offset: int


@dataclass(frozen=True)
class Told:
    """One episode is done. done, total: of those that were asked for, earlier runs included."""

    failed: Failed
    line: dict[str, Any]
    done: int
    total: int


def attribute(folder: Path, roles: Sequence[str] = (), batch: int = 1) -> Generator[Told, None, None]:
    """Attributes what has not been attributed yet, and tells of each episode as it is stored.

    roles: whose failures; by default the model's, and if none played, everybody's. batch: episodes in lockstep, their
    prompts answered together. Raises BadInput where there is no ledger or no such role, ModelUnavailable.
    """
    with ledger.locked(folder):
        wanted = list(failures(folder, roles))
        there = {Key(**line["key"]) for line in findings(folder)}
        todo: dict[str, list[Failed]] = defaultdict(list)
        for each in wanted:
            if each.key not in there:
                todo[each.model].append(each)
        done = len(wanted) - sum(map(len, todo.values()))
        for group in todo.values():
            backend = make_backend(choice_of(read_at(folder, group[0].offset)))
            asking = (cast(Play, _line_of(folder, each, backend)) for each in group)
            for found in drive(asking, backend, batch):
                each, line = cast("tuple[Failed, dict[str, Any]]", found)
                append_line(folder / FILE, json.dumps(line) + "\n")
                done += 1
                yield Told(each, line, done, len(wanted))


def failures(folder: Path, roles: Sequence[str] = ()) -> Iterator[Failed]:
    """The failed episodes of a ledger, each once. Raises BadInput as ``attribute`` does."""
    path, found = folder / LEDGER, dict[Key, tuple[Failed, bool]]()
    for offset, data in entries(path) if path.exists() else ():
        if "key" in (setup := data.get("setup", {})):
            key, options = Key(**setup["key"]), setup["options"]
            failed = Failed(key, options["policy"], options.get("model", ""), offset)
            found.setdefault(key, (failed, data["outcome"] != Outcome.SUCCESS))
    if not found:
        raise BadInput(f"{folder} holds no episode that `qwenarm eval` has played.")
    played = sorted({each.role for each, _ in found.values()})
    if odd := [role for role in roles if role not in played]:
        raise BadInput(f"No {odd[0]!r} played in {folder}; there are: {', '.join(played)}.")
    chosen = roles or ([MODEL_ROLE] if MODEL_ROLE in played else played)
    yield from (each for each, has_failed in found.values() if has_failed and each.role in chosen)


def findings(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of attribution.jsonl; [] where there is none."""
    path = folder / FILE
    return [data for _, data in entries(path) if "cause" in data] if path.exists() else []


def _line_of(
    folder: Path, failed: Failed, backend: Backend | None
) -> Generator[Prompt, Completion, tuple[Failed, dict[str, Any]]]:
    """Asks what the replays need to know, and returns the episode with its line."""
    found = yield from find_cause(case_of(read_at(folder, failed.offset), backend))
    return failed, {"key": asdict(failed.key), **asdict(found)}


def case_of(episode: Episode, backend: Backend | None) -> Case:
    """A recorded episode with what it takes to play it again."""
    choice: Choice = choice_of(episode)
    return Case(episode, lambda: make_env(choice), lambda env: make_policy(choice, env, episode.seed, backend))


def counted(lines: Sequence[dict[str, Any]]) -> dict[tuple[str, int], Counter[str]]:
    """How often each cause was named, by task and level."""
    counts: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for line in lines:
        counts[line["key"]["task"], line["key"]["level"]][line["cause"]] += 1
    return dict(sorted(counts.items()))

"""Evaluations that nobody played: real ledgers and manifests with outcomes of our choice."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.display.test_episode_page import an_episode

from qwenarm.episode.trace import EPISODES_FILE, Trace, to_line
from qwenarm.evaluation import ledger
from qwenarm.evaluation.ledger import Key
from qwenarm.evaluation.suites import FIRST_SEED, Block, Suite
from qwenarm.types import Episode, Outcome, RunConfig, RunInfo

Succeeds = Callable[[Key, str], bool]
"""Tells whether an episode succeeds, by its key and role."""
TEMPLATE = an_episode()
METRICS = {"decisions": 3, "sim_s": 8.4, "path_m": 1.9, "contacts": 0, "tokens_in": 300, "tokens_out": 40}


def suite(
    tasks: Sequence[str] = ("put", "stack"),
    seeds: int = 4,
    perturbations: Sequence[str] = ("", "look:2"),
    levels: Sequence[int] = (1,),
) -> Suite:
    return Suite("made-v1", (Block(tuple(tasks), tuple(levels), seeds, tuple(perturbations)),))


def by_seed(key: Key, role: str) -> bool:
    """The oracle always; the model with even seeds, with perturbations every fourth; the others never."""
    return role == "oracle" or (role == "vlm" and key.seed % (4 if key.perturbations else 2) == 0)


def episode(key: Key, role: str, succeeds: bool, model: str = "bundled") -> Episode:
    pairs = (pair.split(":") for pair in key.perturbations.split(",") if pair)
    perturbations = tuple((axis, int(strength)) for axis, strength in pairs)  # also strengths that no axis has
    config = RunConfig(key.task, key.level, key.arm, role, model, perturbations=perturbations, clock=key.clock)
    config = config if role == "vlm" else config.without_model()
    run = RunInfo(config, key.seed, key.suite, told(role, model), ("front",), metrics=METRICS)
    outcome, progress = (Outcome.SUCCESS, 1.0) if succeeds else (Outcome.FAILURE, 0.25)
    return replace(TEMPLATE, run=run, outcome=outcome, progress=progress)


def told(role: str, model: str) -> dict[str, str]:
    """What a policy says about itself."""
    return {"role": role, "model": model}


def evaluation(
    folder: Path,
    played: Suite | None = None,
    succeeds: Succeeds = by_seed,
    roles: Sequence[str] = ("vlm", "oracle", "idle"),
    clock: str = "paused",
    model: str = "bundled",
) -> Path:
    """A whole evaluation, as `qwenarm eval` would have left it."""
    played, trace = played or suite(), Trace(folder)
    hashes = {role: ledger.policy_hash(told(role, model)) for role in roles}
    run = {
        "arm": "panda",
        "combos": "all",
        "clock": clock,
        "controls": list(roles[1:]),
        "perturbed": ["vlm", "oracle"],
        "policies": hashes,
    }
    ledger.enter(folder, played, played, run, {digest: {"role": role} for role, digest in hashes.items()})
    lines = []
    for role in roles:
        for cell, seeds in played.cells().items():
            if cell.perturbations and role not in ("vlm", "oracle"):
                continue
            for seed in range(FIRST_SEED, FIRST_SEED + seeds):
                where = (cell.task, cell.level, seed, "panda", "all", cell.perturbations, clock, hashes[role])
                key = Key(played.name, *where)
                lines.append(packed(trace, episode(key, role, succeeds(key, role), model)))
    with open(folder / EPISODES_FILE, "a") as file:  # one write: thousands of fsynced ones would take minutes
        file.writelines(lines)
    return folder


def packed(trace: Trace, one: Episode) -> str:
    """Its line, and its pictures in the trace."""
    from qwenarm.episode.trace import pack

    found = pack(one, lambda name: (trace.folder / name).exists())
    for name, data in found.pictures.items():
        (trace.folder / name).write_bytes(data)
    return found.line


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the first line of a ledger, as somebody would who knows how to make the checksum fit."""
    first, *rest = (folder / EPISODES_FILE).read_text().splitlines(keepends=True)
    fields = json.loads(first)
    del fields["schema"], fields["crc32"]
    change(fields)
    (folder / EPISODES_FILE).write_text("".join([to_line(fields), *rest]))


def rates(records: Sequence[Mapping[str, str]]) -> tuple[int, int]:
    """(successes, episodes) of rows of episodes.csv."""
    return sum(row["success"] == "1" for row in records), len(records)

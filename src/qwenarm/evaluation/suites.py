"""The episodes that an evaluation plays. A suite with a version in its name is frozen: changes make a new version.

A suite consists of blocks, each of them tasks x levels x perturbations x seeds. Seeds are consecutive, and the same
for every policy, task and perturbation, so that all comparisons are paired. The unperturbed episode ("") belongs to
every block, so that a score under perturbations has a matched control.

As a JSON file: {"name": "mine", "blocks": [{"tasks": ["put"], "levels": [1, 2], "seeds": 20, "perturbations": ["",
"look:2", "look:1,light:1"]}]}. Its version is a hash of its blocks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from qwenarm.errors import BadInput, UnknownName
from qwenarm.perturbations import parse, spell
from qwenarm.registry import is_unlisted, list_names

FIRST_SEED = 1_000_000
"""First seed of evaluations; training never uses it or any later one."""
AD_HOC = "ad-hoc"
"""Name of the suite that consists of tasks given on the command line."""


@dataclass(frozen=True)
class Cell:
    """The unit of a success rate: a task at a level under one set of perturbations, as text ("" for none)."""

    task: str
    level: int
    perturbations: str


@dataclass(frozen=True)
class Block:
    """Every task at every level, unperturbed and under each of the perturbations, with the first ``seeds`` seeds."""

    tasks: tuple[str, ...]
    levels: tuple[int, ...]
    seeds: int
    perturbations: tuple[str, ...] = ("",)

    def cells(self) -> Iterator[Cell]:
        """Yields all cells, those of one task together."""
        yield from (Cell(t, level, c) for t in self.tasks for level in self.levels for c in self.perturbations)


@dataclass(frozen=True)
class Suite:
    """A list of blocks, whose name includes the version, as in "quick-v1".

    Attributes:
        name: Name of the suite.
        blocks: What is played.
        first_seed: Seed of the first episode of every cell.
    """

    name: str
    blocks: tuple[Block, ...]
    first_seed: int = FIRST_SEED

    def cells(self) -> dict[Cell, int]:
        """Returns how many seeds each cell is played with; if two blocks contain a cell, the larger number."""
        found: dict[Cell, int] = {}
        for block in self.blocks:
            for cell in block.cells():
                found[cell] = max(found.get(cell, 0), block.seeds)
        return found

    def describe(self) -> list[dict[str, Any]]:
        """Returns the blocks as plain JSON values."""
        return [{key: _plain(value) for key, value in asdict(block).items()} for block in self.blocks]

    def sha256(self) -> str:
        """Returns the hash of the blocks, and of the first seed where it is another. It keeps the former name of
        perturbations, so that frozen hashes stay the same.
        """
        blocks = [
            {"changes" if key == "perturbations" else key: block[key] for key in block} for block in self.describe()
        ]
        told: Any = blocks if self.first_seed == FIRST_SEED else {"blocks": blocks, "first_seed": self.first_seed}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def narrowed(
        self,
        tasks: Sequence[str] = (),
        level: int | None = None,
        seeds: int | None = None,
        perturbations: Sequence[str] | None = None,
    ) -> Suite:
        """Returns the suite with only these tasks, this level, this number of seeds, and these perturbations.

        Its name stays, because all its episodes belong to the frozen suite or its continuation; the manifest records
        what was played. Raises UnknownName for a task that is not in the suite, BadInput if nothing is left.
        """
        mine = sorted({task for block in self.blocks for task in block.tasks})
        for task in tasks:
            if task not in mine:
                raise UnknownName(f"task in the suite {self.name},", task, mine)
        blocks = (_narrow(block, tasks, level, seeds, perturbations) for block in self.blocks)
        left = tuple(dict.fromkeys(block for block in blocks if block.tasks and block.levels))
        if not left:
            raise BadInput(f"The suite {self.name} has nothing at level {level}.")
        return replace(self, blocks=left)

    def check(self) -> None:
        """Raises UnknownName or BadInput for a task, level or perturbation that does not exist."""
        known = list_names("tasks")
        missing = sorted(
            {t for block in self.blocks for t in block.tasks if t not in known and not is_unlisted("tasks", t)}
        )
        if len(missing) == 1 and self.name == AD_HOC:
            raise UnknownName("task", missing[0], known)
        if missing:
            raise BadInput(
                f"The suite {self.name} wants {', '.join(missing)}, which this installation does not have; "
                f"name the ones to play, as in --task {','.join(known)}."
            )
        for block in self.blocks:
            if block.seeds < 1:
                raise BadInput("The number of seeds must be at least 1.")
            for perturbations in block.perturbations:
                parse(perturbations)


def _narrow(
    block: Block, tasks: Sequence[str], level: int | None, seeds: int | None, perturbations: Sequence[str] | None
) -> Block:
    return Block(
        tuple(task for task in block.tasks if not tasks or task in tasks),
        tuple(each for each in block.levels if level is None or each == level),
        block.seeds if seeds is None else seeds,
        block.perturbations if perturbations is None else _with_control(perturbations),
    )


def _with_control(perturbations: Sequence[str]) -> tuple[str, ...]:
    """Returns the perturbations with "" first, each in its normal spelling."""
    return tuple(dict.fromkeys(["", *(spell(parse(each)) for each in perturbations)]))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


TASKS_V1 = (
    "put", "stack", "sort", "parcels", "inspect", "shelf", "tidy", "deliver", "recall", "rearrange", "long", "refuse",
)  # fmt: skip
PERTURBATIONS_V1 = ("arm", "camera", "combos", "distractors", "layout", "light", "look", "slip", "text", "words")
SHIPPED_SUITES = {
    suite.name: suite
    for suite in (
        Suite("quick-v1", (Block(TASKS_V1, (1,), 5, ("", "look:2", "words:2")),)),
        Suite(
            "standard-v1",
            (
                Block(TASKS_V1, (1, 2, 3), 20),
                Block(TASKS_V1, (1,), 10, ("", *(f"{name}:2" for name in PERTURBATIONS_V1))),
            ),
        ),
        Suite(
            "full-v1",
            (
                Block(TASKS_V1, (1, 2, 3), 100),
                Block(TASKS_V1, (1,), 50, ("", *(f"{name}:{k}" for name in PERTURBATIONS_V1 for k in (1, 2, 3)))),
            ),
        ),
    )
}
"""Frozen suites: ``quick`` for a first look, ``standard`` for a table, ``full`` for a claim."""
LATEST_VERSIONS = {"quick": "quick-v1", "standard": "standard-v1", "full": "full-v1"}


def suite_named(name: str) -> Suite:
    """Returns a suite by name, with or without the version, or from a JSON file. Raises UnknownName or BadInput."""
    known = LATEST_VERSIONS.get(name, name)
    if known in SHIPPED_SUITES:
        return SHIPPED_SUITES[known]
    if name.endswith(".json") or Path(name).is_file():
        return _from_file(Path(name))
    raise UnknownName("suite", name, [*LATEST_VERSIONS, *SHIPPED_SUITES, "FILE.json"])


def ad_hoc(tasks: Sequence[str], level: int, seeds: int, perturbations: Sequence[str] = ()) -> Suite:
    """Returns a suite of the tasks at one level, unperturbed and under each of the perturbations."""
    return Suite(AD_HOC, (Block(tuple(tasks), (level,), seeds, _with_control(perturbations)),))


def _from_file(path: Path) -> Suite:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        name, blocks = str(data["name"]), tuple(_block(entry) for entry in data["blocks"])
        _refuse_other_keys(data, {"name", "blocks", "first_seed"})
        suite = Suite(name, blocks, int(data.get("first_seed", FIRST_SEED)))
        if suite.first_seed < 0:
            raise ValueError('"first_seed" is below 0')
    except OSError as error:
        raise BadInput(f"Cannot read the suite {path}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f'{path} is not a suite ({type(error).__name__}: {error}); it needs "name" and "blocks", each with '
            '"tasks", "levels", "seeds" and optionally "perturbations", and may have a "first_seed".'
        ) from error
    return replace(suite, name=f"{suite.name}-{suite.sha256()[:8]}")


def _block(entry: Mapping[str, Any]) -> Block:
    perturbations = _with_control([str(each) for each in entry.get("perturbations", [""])])
    _refuse_other_keys(entry, {"tasks", "levels", "seeds", "perturbations"})
    if isinstance(entry["tasks"], str):
        raise ValueError('"tasks" must be a list')
    tasks, levels = tuple(map(str, entry["tasks"])), tuple(map(int, entry["levels"]))
    return Block(tasks, levels, int(entry["seeds"]), perturbations)


def _refuse_other_keys(entry: Mapping[str, Any], known: set[str]) -> None:
    """What is mistyped must not be left out in silence: the numbers would be those of another suite."""
    if odd := set(entry) - known:
        raise ValueError(f"unknown keys {sorted(odd)}")

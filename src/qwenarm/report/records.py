"""What is read of an evaluation: a record for each episode, a run for each folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qwenarm.evaluation.ledger import Key
from qwenarm.evaluation.suites import Cell
from qwenarm.types import SideEffect

NO_CAUSE = "not attributed"


@dataclass(frozen=True, slots=True)
class PlayedScene:
    """What two policies share when they are compared: the same things at the same places, and the same words.

    Of these, everything but ``perturbations`` is equal in an episode and its matched control.
    """

    task: str
    level: int
    seed: int
    combos: str
    perturbations: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """What attribution says of a failure. name: a part, or several with plus signs between them. also: other parts that
    would have done as well. why: a sentence.
    """

    name: str
    also: tuple[str, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        also = f" (or {' or '.join(self.also)})" if self.also else ""
        return f"{self.name}{also}{f': {self.why}' if self.why else ''}"


@dataclass(frozen=True, slots=True)
class Record:
    """One episode. progress: at its end, in [0, 1]; curve: after each turn. cause: if it has been attributed.

    line: its number in the ledger, from 0. offset: where that line begins, in bytes.
    """

    key: Key
    role: str
    model: str
    altitude: str
    cameras: str
    instruction: str
    outcome: str
    progress: float
    curve: tuple[float, ...]
    metrics: Mapping[str, float]
    cause: Cause | None
    line: int
    offset: int
    side_effects: tuple[SideEffect, ...] = ()

    @property
    def success(self) -> bool:
        """Every other ending is a failure."""
        return self.outcome == "success"

    @property
    def why(self) -> str:
        """The cause of a failure, in a word; "" for a success."""
        return "" if self.success else self.cause.name if self.cause else NO_CAUSE

    @property
    def cell(self) -> Cell:
        return Cell(self.key.task, self.key.level, self.key.perturbations)

    @property
    def where(self) -> str:
        """ "put, level 1"."""
        return f"{self.key.task}, level {self.key.level}"

    @property
    def scene(self) -> PlayedScene:
        return PlayedScene(self.key.task, self.key.level, self.key.seed, self.key.combos, self.key.perturbations)


@dataclass(frozen=True)
class Run:
    """One folder that an evaluation filled. manifest: {} where it is missing. problems: sentences for the reader."""

    folder: Path
    name: str
    manifest: Mapping[str, Any]
    records: tuple[Record, ...] = field(repr=False)
    problems: tuple[str, ...] = ()

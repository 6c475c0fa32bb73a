"""Who played: the policies of one or several runs, and which of them belong beside each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from qwenarm.diagnosis.attribute import MODEL_ROLE
from qwenarm.errors import BadInput, UnknownName
from qwenarm.evaluation.suites import Cell
from qwenarm.policies import controls, policy_entry
from qwenarm.report.records import PlayedScene, Record, Run

CONTROL_ROLES = controls()
"""The policies that stand beside a model for comparison, the most informed first."""
OF_THE_MODEL = tuple(role for role in CONTROL_ROLES if policy_entry(role).needs_model)
"""Controls that are the model itself with something changed; the others belong to every model."""


@dataclass(frozen=True)
class Entrant:
    """One policy as it played one run: with a model or without, with an arm, under a clock.

    name: short, and no other entrant's. records: all its episodes.
    """

    run: Run
    role: str
    model: str
    altitude: str
    cameras: str
    arm: str
    combos: str
    clock: str
    policy: str
    records: tuple[Record, ...] = field(repr=False)
    name: str = ""

    @property
    def is_model(self) -> bool:
        """Whether it is compared with the controls, and is none itself."""
        return self.role not in CONTROL_ROLES

    @property
    def asked(self) -> tuple[str, ...]:
        """The model, and how it is asked."""
        return self.model, self.altitude, self.cameras

    @property
    def latency_s(self) -> float | None:
        """Simulated seconds per decision; None for the wall's clock, where they are not fixed."""
        return {"paused": 0.0, "wall": None}[self.clock] if ":" not in self.clock else float(self.clock.split(":")[1])

    @cached_property
    def unchanged(self) -> tuple[Record, ...]:
        """The episodes without any change: those that are scored."""
        return tuple(record for record in self.records if not record.key.perturbations)

    @cached_property
    def scenes(self) -> dict[PlayedScene, Record]:
        """The episode of each scene."""
        return {record.scene: record for record in self.records}

    def cells(self) -> dict[Cell, list[Record]]:
        """The episodes of each cell, ordered by task, level and perturbations."""
        found: dict[Cell, list[Record]] = {}
        for record in sorted(self.records, key=lambda r: (r.key.task, r.key.level, r.key.perturbations, r.key.seed)):
            found.setdefault(record.cell, []).append(record)
        return found

    def only(self, wanted: Callable[[Record], bool]) -> dict[PlayedScene, Record]:
        """Some of its episodes, by scene."""
        return {scene: record for scene, record in self.scenes.items() if wanted(record)}


def entrants(runs: Sequence[Run]) -> list[Entrant]:
    """All that played: models first, each with a name that says what tells it apart from the others."""
    groups: dict[tuple[int, tuple[str, ...]], list[Record]] = {}
    for index, run in enumerate(runs):
        for r in run.records:
            settings = (r.role, r.model, r.altitude, r.cameras, r.key.arm, r.key.combos, r.key.clock, r.key.policy)
            groups.setdefault((index, settings), []).append(r)
    found = [Entrant(runs[index], *settings, records=tuple(records)) for (index, settings), records in groups.items()]
    found.sort(key=lambda e: CONTROL_ROLES.index(e.role) if e.role in CONTROL_ROLES else -1)
    names = [_name(entrant, found) for entrant in found]
    alike = {name for name in names if names.count(name) > 1}
    return [
        replace(entrant, name=f"{name} · {entrant.policy[:6]}" if name in alike else name)
        for entrant, name in zip(found, names, strict=True)
    ]


NAME_PARTS: tuple[Callable[[Entrant], str], ...] = (
    lambda e: e.model,
    lambda e: e.altitude,
    lambda e: e.cameras or "own cameras",
    lambda e: e.arm,
    lambda e: f"combinations {e.combos}",
    lambda e: e.clock,
    lambda e: e.run.name,
)
"""What may tell two apart, in words."""


def _name(entrant: Entrant, everybody: Iterable[Entrant]) -> str:
    """The model or the role, and so many words that nobody else is called the same."""
    words = [entrant.model or "model" if entrant.role == MODEL_ROLE else entrant.role]
    rivals = [other for other in everybody if other.role == entrant.role]
    for tell in NAME_PARTS:
        like_it = [rival for rival in rivals if tell(rival) == tell(entrant)]
        if len(like_it) < len(rivals):
            words.append(tell(entrant))
        rivals = like_it
    return " · ".join(dict.fromkeys(filter(None, words)))


def controls_of(model: Entrant, everybody: Iterable[Entrant]) -> dict[str, Entrant]:
    """Those that belong beside a model, by role: with the same arm, clock and combinations, if possible of its run."""

    def belongs(e: Entrant) -> bool:
        same = (e.arm, e.clock, e.combos) == (model.arm, model.clock, model.combos)
        mine = e.role not in OF_THE_MODEL or e.asked == model.asked
        return same and mine and not e.is_model

    nearest = sorted(filter(belongs, everybody), key=lambda e: e.run is model.run)  # the later one stays
    found = {e.role: e for e in nearest}
    return {role: found[role] for role in CONTROL_ROLES if role in found}


def choose(everybody: Sequence[Entrant], which: str = "") -> Entrant:
    """The one that is meant. which: words of its name, role, model, arm or clock, split by commas or dots like those
    in names; where several fit, the only model among them is meant.

    Raises UnknownName with the names there are when none fits, BadInput with those that fit when several do.
    """
    words = {word.strip() for word in which.replace("·", ",").split(",")} - {""}
    fitting = [e for e in everybody if words <= _words(e)]
    if len(fitting) > 1:
        fitting = [e for e in fitting if e.is_model] or fitting
    if not everybody:
        raise BadInput("The same policy stands on both sides: compare it with another one, or with another run.")
    if not fitting:
        raise UnknownName("policy", which, [e.name for e in everybody])
    if len(fitting) > 1:
        names = ", ".join(e.name for e in fitting)
        raise BadInput(f"Several policies could be meant ({names}): name one (--who-a, --who-b; policy, other_policy).")
    return fitting[0]


def _words(e: Entrant) -> set[str]:
    return {*e.asked, e.role, e.arm, e.clock, e.combos, e.policy, *e.name.split(" · ")}

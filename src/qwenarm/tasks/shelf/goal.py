"""A shelf of two levels with two bays each, and what it means to stock it.

The upper level is set back towards the robot, so the hand comes to every bay from above. Left and right are those of
the front camera's picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from qwenarm.body.objects.spec import ObjectSpec, make_spec
from qwenarm.body.scene import Area, Placement
from qwenarm.body.state import WorldState
from qwenarm.tasks.core.goal import Move, free_spot, symbolic_calls
from qwenarm.tasks.language.read_answer import named
from qwenarm.types import SkillCall

COLOR = "white"
"""Of the bays; nothing that goes into them has it."""
ROWS = {"upper": (0.455, 0.060), "lower": (0.610, 0.0)}
"""Middle x and height of the floor of each level, m."""
BESIDE, PITCH = 0.14, 0.16
"""How far the shelf's middle is from the table's, and one bay's from the next one's, m."""
CORNER = 0.028
"""What stands in a bay at the start stands this far from its middle, along x and y, m: another thing fits beside it."""
ROOM = 2
"""So many things fit into a bay."""
BAYS = tuple(f"{row}_{side}_bay" for row in ROWS for side in ("left", "right"))
"""Their ids."""
DENIAL = re.compile(
    r"\b(no|not|none|cannot|out of|sold out|missing|lacks?|lacking|without|unavailable|nothing)\b|n't\b"
    r"|\b(falta\w*|agotad\w*|sin|ning\w+)\b|没|缺|无|卖完|不在|不见"
)
"""Words that say that something is not there, in English, Spanish and Chinese."""


def denies(text: str) -> bool:
    """Does it say that something is not there?"""
    return DENIAL.search(text.lower()) is not None


def stand(left: bool) -> tuple[tuple[Placement, ...], Area]:
    """The four bays, on the left or on the right of the table, and the part of the table that is left for the rest."""
    middle = -BESIDE if left else BESIDE
    bays = [
        Placement(
            replace(make_spec("bay", COLOR), name=bay.replace("_", " ")),
            (x, middle + PITCH / 2 * (1 if "right" in bay else -1), z),
        )
        for bay in BAYS
        for x, z in [ROWS[bay.partition("_")[0]]]
    ]
    free = (0.07, 0.25) if left else (-0.25, -0.07)
    return tuple(bays), ((0.38, 0.68), free)


def shelved(spec: ObjectSpec, bay: Placement, corner: tuple[int, int], yaw: float) -> Placement:
    """A thing that stands in a bay. corner: which, as signs along x and y."""
    x, y, z = bay.pos
    height = z + 0.006 + spec.origin_height
    return Placement(spec, (x + CORNER * corner[0], y + CORNER * corner[1], height), yaw)


@dataclass(frozen=True)
class Line:
    """One line of an order: so many of these things, no more, belong in a bay. Object ids."""

    things: tuple[str, ...]
    count: int
    bay: str

    def there(self, state: WorldState) -> list[str]:
        return [thing for thing in self.things if state.inside(thing, self.bay)]

    def moves(self, state: WorldState) -> Iterator[Move]:
        """What is still to be brought, what is held already first; or what is too much."""
        there = self.there(state)
        others = sorted((t for t in self.things if t not in there), key=lambda t: t != state.holding)
        yield from ((thing, self.bay) for thing in others[: max(0, self.count - len(there))])
        yield from ((thing, free_spot(state)) for thing in there[self.count :])


@dataclass(frozen=True)
class Missing:
    """What is ordered and not there; shape None: things of that colour, color None: things of that shape."""

    color: str | None
    shape: str | None

    @property
    def label(self) -> str:
        if self.color and self.shape:
            return f"{self.color} {self.shape}"
        return f"{self.color} thing" if self.color else f"{self.shape}"

    def told(self, state: WorldState) -> bool:
        """Has anybody said that it is not there?"""
        return any(self._meant(text) for text in _texts(state))

    def _meant(self, text: str) -> bool:
        colors, shapes = named(text)
        return denies(text) and self.color in {*colors, None} and self.shape in {*shapes, None}


@dataclass(frozen=True)
class Stocking:
    """An order carried out line by line, what else is on the shelf left where it is, and told what was missing.

    stays: (thing, bay). Who gives up although all is there has failed.
    """

    lines: tuple[Line, ...]
    stays: tuple[Move, ...] = ()
    missing: Missing | None = None

    def success(self, state: WorldState) -> bool:
        gave_up = any(call.name == "give_up" for call in state.said)
        answered = not gave_up if self.missing is None else self.missing.told(state)
        return state.holding is None and state.at_rest() and answered and not self._moves(state)

    def progress(self, state: WorldState) -> float:
        """A unit for each thing that is brought and one for telling what is missing; what strays counts against it."""
        if self.success(state):
            return 1.0
        units = sum(line.count for line in self.lines) + (self.missing is not None)
        made = sum(min(len(line.there(state)), line.count) for line in self.lines)
        made += self.missing is not None and self.missing.told(state)
        begun = 0.5 if state.holding in [thing for thing, _ in self._moves(state)] else 0.0
        astray = sum(not state.inside(thing, str(bay)) for thing, bay in self.stays if thing != state.holding)
        return max(0.0, made + begun - 0.5 * astray) / (units + 0.5)

    def solve(self, state: WorldState) -> list[SkillCall]:
        calls = symbolic_calls(state, self._moves(state))
        if self.missing is not None and not self.missing.told(state):
            calls.insert(len(calls) - 1, SkillCall("say", {"text": f"there is no {self.missing.label} here"}))
        return calls

    def _moves(self, state: WorldState) -> list[Move]:
        ordered = [move for line in self.lines for move in line.moves(state)]
        return ordered + [(thing, bay) for thing, bay in self.stays if not state.inside(thing, str(bay))]


def _texts(state: WorldState) -> Iterator[str]:
    """All that was said, reasons for giving up included."""
    for call in state.said:
        yield str(call.args.get("text" if call.name == "say" else "reason", ""))

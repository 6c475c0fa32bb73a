"""A shelf of two levels with two bays each, and the goal to carry out an order for it.

The upper level is set back towards the robot, so that the hand reaches every bay from above. Left and right are as
seen by the front camera.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from qwenarm.body.objects.spec import WALL_THICKNESS_M, ObjectSpec, make_spec
from qwenarm.body.scene import Area, Placement
from qwenarm.body.state import WorldState
from qwenarm.tasks import Move, MoveGoal, left_to_right, plan_moves
from qwenarm.tasks.language.read_answer import named
from qwenarm.types import SkillCall

SHELF_COLOR = "white"
"""Colour of the bays; no object that goes into them has it."""
LEVEL_POSES_M = {"upper": (0.455, 0.060), "lower": (0.610, 0.0)}
"""x of the middle and height of the floor of each level, in m."""
SHELF_Y_M, BAY_PITCH_M = 0.14, 0.16
"""Distance of the shelf's middle from the middle of the table, and between neighbouring bays, in m."""
CORNER_OFFSET_M = 0.028
"""Distance along x and y of an object from the middle of its bay at the start, in m; a second one fits beside it."""
BAY_CAPACITY = 2
"""Number of objects that fit in a bay."""
BAY_IDS = tuple(f"{level}_{side}_bay" for level in LEVEL_POSES_M for side in ("left", "right"))
DENIAL_PATTERN = re.compile(
    r"\b(no|not|none|cannot|out of|sold out|missing|lacks?|lacking|without|unavailable|nothing)\b|n't\b"
    r"|\b(falta\w*|agotad\w*|sin|ning\w+)\b|没|缺|无|卖完|不在|不见"
)
"""Words which say that something is missing, in English, Spanish and Chinese."""


def denies(text: str) -> bool:
    """Returns whether a text says that something is missing."""
    return DENIAL_PATTERN.search(text.lower()) is not None


def bay_placements(left: bool) -> tuple[tuple[Placement, ...], Area]:
    """Returns the four bays, on the left or right of the table, and the area that is left for other objects."""
    middle = -SHELF_Y_M if left else SHELF_Y_M
    bays = [
        Placement(
            replace(make_spec("bay", SHELF_COLOR), name=bay.replace("_", " ")),
            (x, middle + BAY_PITCH_M / 2 * (1 if "right" in bay else -1), z),
        )
        for bay in BAY_IDS
        for x, z in [LEVEL_POSES_M[bay.partition("_")[0]]]
    ]
    free = (0.07, 0.25) if left else (-0.25, -0.07)
    return tuple(bays), ((0.38, 0.68), free)


def placement_in_bay(spec: ObjectSpec, bay: Placement, corner: tuple[int, int], yaw: float) -> Placement:
    """Places an object in a corner of a bay. ``corner`` gives the corner's signs along x and y."""
    x, y, z = bay.pos
    height = z + WALL_THICKNESS_M + spec.origin_height
    return Placement(spec, (x + CORNER_OFFSET_M * corner[0], y + CORNER_OFFSET_M * corner[1], height), yaw)


@dataclass(frozen=True)
class OrderLine:
    """One line of an order: exactly ``count`` of these objects belong in a bay."""

    things: tuple[str, ...]  # object ids
    count: int
    bay: str

    def delivered(self, state: WorldState) -> list[str]:
        """Returns the objects that are in the bay."""
        return [thing for thing in self.things if state.inside(thing, self.bay)]

    def moves(self, state: WorldState) -> Iterator[Move]:
        """Yields the moves that are still needed, a held object first, or those that take out surplus objects."""
        there = self.delivered(state)
        others = left_to_right(state, (thing for thing in self.things if thing not in there))
        yield from ((thing, self.bay) for thing in others[: max(0, self.count - len(there))])
        yield from ((thing, None) for thing in there[self.count :])


@dataclass(frozen=True)
class MissingItem:
    """An ordered item that is missing. Without a shape, any object of that colour; without a colour, of that shape."""

    color: str | None
    shape: str | None

    @property
    def label(self) -> str:
        """How a message calls the item."""
        return f"{self.color} {self.shape or 'thing'}" if self.color else f"{self.shape}"

    def was_reported(self, state: WorldState) -> bool:
        """Returns whether it was said that the item is missing."""
        texts = [str(call.args.get("text" if call.name == "say" else "reason", "")) for call in state.said]
        return any(denies(text) and self._is_named_in(text) for text in texts)

    def _is_named_in(self, text: str) -> bool:
        colors, shapes = named(text)
        return self.color in {*colors, None} and self.shape in {*shapes, None}


@dataclass(frozen=True)
class StockShelf(MoveGoal):
    """The order is carried out, everything else on the shelf is where it was, and a missing item was reported.

    Giving up although nothing is missing is a failure.
    """

    lines: tuple[OrderLine, ...]
    stays: tuple[tuple[str, str], ...] = ()  # (object, bay)
    missing: MissingItem | None = None

    def remaining(self, state: WorldState) -> list[Move]:
        return [*(move for line in self.lines for move in line.moves(state)), *self._displaced(state)]

    def success(self, state: WorldState) -> bool:
        gave_up = any(call.name == "give_up" for call in state.said)
        answered = not gave_up if self.missing is None else self.missing.was_reported(state)
        return answered and super().success(state)

    def steps(self, state: WorldState, remaining: Sequence[Move]) -> tuple[float, float]:
        """Counts one step for each object that is delivered, and one for reporting a missing item.

        Half a step is deducted for every other object that has left its bay.
        """
        made = sum(min(len(line.delivered(state)), line.count) for line in self.lines)
        made += self.missing is not None and self.missing.was_reported(state)
        begun = 0.5 if state.holding in dict(remaining) else 0.0
        displaced = sum(thing != state.holding for thing, _ in self._displaced(state))
        return made + begun - 0.5 * displaced, sum(line.count for line in self.lines) + (self.missing is not None)

    def solve(self, state: WorldState) -> list[SkillCall]:
        calls = plan_moves(state, self.remaining(state))
        if self.missing is not None and not self.missing.was_reported(state):
            calls.insert(len(calls) - 1, SkillCall("say", {"text": f"there is no {self.missing.label} here"}))
        return calls

    def _displaced(self, state: WorldState) -> list[tuple[str, str]]:
        return [(thing, bay) for thing, bay in self.stays if not state.inside(thing, bay)]

"""A drawer, a bin and a box, the rules that assign objects to them, and the goal of a tidy table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from qwenarm.body.objects.drawer import (
    CABINET_HEIGHT_M,
    CLOSED_DRAWER_X_M,
    DRAWER_TABLE_GAP_M,
    DRAWER_TRAVEL_M,
    KNOB_TOP_M,
    knob_x,
)
from qwenarm.body.objects.spec import WALL_THICKNESS_M, ObjectSpec, make_spec
from qwenarm.body.scene import Area, Placement
from qwenarm.body.state import WorldState
from qwenarm.tasks import Move, MoveGoal, WorldPoint, left_to_right, plan_moves
from qwenarm.types import SkillCall

DRAWER_ID, BIN_ID = "drawer", "bin"
HOME_CAPACITY = {"drawer": 3, "bin": 3, "box": 2}
"""Number of objects that stand in each home without leaning on each other."""
HOME_COLOR = {DRAWER_ID: "white", BIN_ID: "black"}
DRAWER_Y_M, BIN_Y_M = 0.235, 0.250
"""Distances of the drawer and the bin, on opposite sides, from the middle of the table, in m."""
BIN_X_M = 0.430
BOX_AREA: Area = ((0.567, 0.713), (0.172, 0.298))
OBJECT_AREA: Area = ((0.380, 0.680), (-0.085, 0.112))
DRAWER_PATH: Area = ((CLOSED_DRAWER_X_M, 0.570), (-0.350, -0.130))
DRAWER_FRONT: Area = ((0.610, 0.680), (-0.250, -0.085))
"""Areas of the box, the objects, the drawer's path and the place before it, x and y in m; for a drawer on the left."""
SHUT_TOLERANCE_M, OPEN_TOLERANCE_M = 0.012, 0.020
"""Maximum distance from shut or fully open at which the drawer counts as such, in m."""
PULL_MARGIN_M = 0.02
"""Distance beyond the drawer's stop to which the knob is pulled, in m."""


@dataclass(frozen=True)
class HomeRule:
    """Assigns objects of a colour or shape, or those that no other rule names, to a home."""

    by: str  # "color", "shape" or "rest"
    value: str
    home: str  # object id

    def names(self, color: str, shape: str) -> bool:
        """Returns whether the rule applies to such an object."""
        return self.by == "rest" or self.value == (color if self.by == "color" else shape)


def home_of(rules: Sequence[HomeRule], color: str, shape: str) -> str | None:
    """Returns the home from the first rule that applies to such an object, or None."""
    return next((rule.home for rule in rules if rule.names(color, shape)), None)


def drawer_placement(side: int, opened: bool) -> Placement:
    """Returns the drawer on the left (-1) or right (1) of the table."""
    spec = replace(make_spec("drawer", HOME_COLOR[DRAWER_ID]), name=DRAWER_ID)
    return Placement(spec, (CLOSED_DRAWER_X_M + DRAWER_TRAVEL_M * opened, side * DRAWER_Y_M, DRAWER_TABLE_GAP_M))


def bin_placement(side: int) -> Placement:
    """Returns the bin, on the side opposite the drawer's."""
    spec = replace(make_spec("bin", HOME_COLOR[BIN_ID]), name=BIN_ID)
    return Placement(spec, (BIN_X_M, -side * BIN_Y_M, 0.0))


def placement_in_bin(spec: ObjectSpec, side: int, yaw: float) -> Placement:
    """Places an object in the middle of the bin, where the fingers have room beside it. ``side`` is the drawer's."""
    return Placement(spec, (BIN_X_M, -side * BIN_Y_M, WALL_THICKNESS_M + spec.origin_height), yaw)


def mirrored(area: Area, side: int) -> Area:
    """Returns the area for a table with the drawer on this side."""
    near_far, (low, high) = area
    return (near_far, (low, high) if side < 0 else (-high, -low))


@dataclass(frozen=True)
class Tidy(MoveGoal):
    """Every object is in its home, and the drawer is shut."""

    homes: tuple[tuple[str, str], ...]  # (object, home)
    starts_shut: bool

    def remaining(self, state: WorldState) -> list[Move]:
        return [(thing, home) for thing, home in self.homes if not state.inside(thing, home)]

    def success(self, state: WorldState) -> bool:
        return super().success(state) and is_shut(state)

    def steps(self, state: WorldState, remaining: Sequence[Move]) -> tuple[float, float]:
        """Counts one step per object, one for shutting the drawer at the end, and half a step for opening it."""
        made = len(self.homes) - len(remaining) + 0.5 * (state.holding in dict(remaining))
        made += not remaining and is_shut(state)
        made += 0.5 * (self.starts_shut and self._was_opened(state))
        return made, len(self.homes) + 1 + 0.5 * self.starts_shut

    def solve(self, state: WorldState) -> list[SkillCall]:
        """Opens the drawer first if anything belongs in it, brings all objects home, and shuts the drawer."""
        home, calls = dict(self.remaining(state)), list[SkillCall]()
        order = sorted(left_to_right(state, home), key=lambda thing: _priority(state, thing))
        moves: list[Move] = [(thing, home[thing]) for thing in order]
        needs_drawer = any(home == DRAWER_ID for _, home in moves)
        if needs_drawer and not is_open(state):
            in_hand = [move for move in moves if move[0] == state.holding and move[1] != DRAWER_ID]
            calls = [*plan_moves(state, in_hand)[:-1], _pull_drawer(state, DRAWER_TRAVEL_M)]
            moves, state = [move for move in moves if move not in in_hand], replace(state, holding=None)
        calls += plan_moves(state, moves)[:-1]
        if needs_drawer or not is_shut(state):
            calls.append(_pull_drawer(state, 0.0))
        waits = [] if calls or self.success(state) else [SkillCall("look")]  # something is still rolling
        return [*calls, *waits, SkillCall("done")]

    def _was_opened(self, state: WorldState) -> bool:
        """Returns whether the drawer is open or has something in it."""
        filled = any(state.inside(thing, DRAWER_ID) for thing, home in self.homes if home == DRAWER_ID)
        return filled or is_open(state)


def _priority(state: WorldState, thing: str) -> int:
    """Ranks the object in the hand first, then those in a wrong home, before others come to lie beside them."""
    return 0 if thing == state.holding else 1 if any(state.inside(thing, other) for other in state.objects) else 2


def opening(state: WorldState) -> float:
    """Returns how far the drawer is open, in m."""
    return float(state[DRAWER_ID].pos[0]) - CLOSED_DRAWER_X_M


def is_shut(state: WorldState) -> bool:
    return opening(state) < SHUT_TOLERANCE_M


def is_open(state: WorldState) -> bool:
    """Returns whether the drawer is fully open."""
    return opening(state) >= DRAWER_TRAVEL_M - OPEN_TOLERANCE_M


def _pull_drawer(state: WorldState, target: float) -> SkillCall:
    """Returns the call that pulls or pushes the knob until the drawer is open by ``target`` m."""
    drawer = state[DRAWER_ID]
    x, y, half = float(drawer.pos[0]), float(drawer.pos[1]), drawer.spec.size / 2
    at = WorldPoint(knob_x(x, half), y, "knob of the drawer", KNOB_TOP_M)
    to = knob_x(CLOSED_DRAWER_X_M, half) + target
    if target > 0:
        return SkillCall("pull", {"at": at, "to": WorldPoint(to + PULL_MARGIN_M, y, "table before the drawer")})
    return SkillCall(
        "pull", {"at": at, "to": WorldPoint(to - 3 * PULL_MARGIN_M, y, "top of the cabinet", CABINET_HEIGHT_M)}
    )

"""Where things belong: a drawer, a bin and a box, rules that tell what goes where, and what it means to be tidy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from qwenarm.body.objects.drawer import KNOB_TOP, LIFTED, SHUT_X, TOP, TRAVEL, knob_of
from qwenarm.body.objects.spec import WALL, ObjectSpec, make_spec
from qwenarm.body.scene import Area, Placement
from qwenarm.body.simulation import Body
from qwenarm.body.state import WorldState
from qwenarm.tasks.core.events import lifted
from qwenarm.tasks.core.goal import Move, Spot, symbolic_calls
from qwenarm.types import SkillCall

DRAWER, BIN = "drawer", "bin"
"""Their ids."""
ROOM = {"drawer": 3, "bin": 3, "box": 2}
"""How many things stand in a home without leaning."""
COLOR = {DRAWER: "white", BIN: "black"}
SIDE = {DRAWER: 0.235, BIN: 0.250}
"""How far from the middle of the table they are, m, the drawer on one side, the bin on the other."""
BIN_X = 0.430
BOX_AREA: Area = ((0.567, 0.713), (0.172, 0.298))
MAIN_AREA: Area = ((0.380, 0.680), (-0.085, 0.112))
WAY: Area = ((SHUT_X, 0.570), (-0.350, -0.130))
STRIP: Area = ((0.610, 0.680), (-0.250, -0.085))
"""Where the box and the things stand if the drawer is on the left, m; the way of the drawer is kept free, the strip is
before it."""
SHUT, OPEN = 0.012, 0.020
"""A drawer is shut that is open by less, and open that lacks no more than this, m."""
BEYOND = 0.02
"""The knob is drawn so far beyond where it comes to rest, m."""


@dataclass(frozen=True)
class Rule:
    """Things of this colour or shape (by "color" or "shape"), or whatever no other rule names, belong in a home."""

    by: str
    value: str
    home: str

    def names(self, color: str, shape: str) -> bool:
        return self.by == "rest" or self.value == (color if self.by == "color" else shape)


def home_of(rules: Sequence[Rule], color: str, shape: str) -> str | None:
    """The home that the first of the rules names for such a thing."""
    return next((rule.home for rule in rules if rule.names(color, shape)), None)


def drawer_placement(side: int, opened: bool) -> Placement:
    """The drawer on the left (-1) or right (1) of the table."""
    spec = replace(make_spec("drawer", COLOR[DRAWER]), name=DRAWER)
    return Placement(spec, (SHUT_X + TRAVEL * opened, side * SIDE[DRAWER], LIFTED))


def bin_placement(side: int) -> Placement:
    """The bin, opposite to the drawer."""
    spec = replace(make_spec("bin", COLOR[BIN]), name=BIN)
    return Placement(spec, (BIN_X, -side * SIDE[BIN], 0.0))


def in_bin(spec: ObjectSpec, side: int, yaw: float) -> Placement:
    """A thing that stands in the middle of the bin, where the fingers have room beside it."""
    return Placement(spec, (BIN_X, -side * SIDE[BIN], WALL + spec.origin_height), yaw)


def mirrored(area: Area, side: int) -> Area:
    """An area of a table whose drawer is on the left, for one whose drawer is on this side."""
    (near, far), (low, high) = area
    return ((near, far), (low, high) if side < 0 else (-high, -low))


@dataclass
class Begun:
    """At 1 as soon as the first thing is lifted."""

    at: int = 0

    def step(self, body: Body) -> str | None:
        if not self.at and lifted(body.state()):
            self.at = 1
        return None


@dataclass(frozen=True)
class Tidy:
    """Every thing in its home and the drawer shut. homes: (thing, home). found_shut: whether it was at the start."""

    homes: tuple[tuple[str, str], ...]
    found_shut: bool

    def success(self, state: WorldState) -> bool:
        calm = state.holding is None and state.at_rest()
        return calm and not self._waiting(state) and opening(state) < SHUT

    def progress(self, state: WorldState) -> float:
        """A unit for each thing, one for the drawer shut in the end, and half a one for opening it if it was shut."""
        if self.success(state):
            return 1.0
        waiting = self._waiting(state)
        units = len(self.homes) + 1 + 0.5 * self.found_shut
        made = len(self.homes) - len(waiting) + 0.5 * (state.holding in dict(waiting))
        made += not waiting and opening(state) < SHUT
        made += 0.5 * (self.found_shut and self._opened(state))
        return max(0.0, made) / (units + 0.5)

    def solve(self, state: WorldState) -> list[SkillCall]:
        """The drawer is opened first if anything belongs in it, then filled like the others, and shut in the end."""
        waiting, calls = sorted(self._waiting(state), key=lambda move: _rank(state, move[0])), list[SkillCall]()
        needed = any(home == DRAWER for _, home in waiting)
        if needed and opening(state) < TRAVEL - OPEN:
            held = [move for move in waiting if move[0] == state.holding and move[1] != DRAWER]
            calls = [*symbolic_calls(state, held)[:-1], _draw(state, TRAVEL)]
            waiting, state = [move for move in waiting if move not in held], replace(state, holding=None)
        calls += symbolic_calls(state, waiting)[:-1]
        if needed or opening(state) >= SHUT:
            calls.append(_draw(state, 0.0))
        waits = [] if calls or self.success(state) else [SkillCall("look")]  # something still rolls
        return [*calls, *waits, SkillCall("done")]

    def _waiting(self, state: WorldState) -> list[Move]:
        """What is not at home."""
        return [(thing, home) for thing, home in self.homes if not state.inside(thing, home)]

    def _opened(self, state: WorldState) -> bool:
        """Is the drawer open, or has it been?"""
        filled = any(state.inside(thing, DRAWER) for thing, home in self.homes if home == DRAWER)
        return filled or opening(state) >= TRAVEL - OPEN


def _rank(state: WorldState, thing: str) -> int:
    """What is held comes first, then what lies in a wrong home: others will come to lie beside it."""
    return 0 if thing == state.holding else 1 if any(state.inside(thing, other) for other in state.objects) else 2


def opening(state: WorldState) -> float:
    """How far the drawer is open, m."""
    return float(state[DRAWER].pos[0]) - SHUT_X


def _draw(state: WorldState, target: float) -> SkillCall:
    """The call that draws the knob until the drawer is open by ``target`` m, and a little further."""
    drawer = state[DRAWER]
    x, y, half = float(drawer.pos[0]), float(drawer.pos[1]), drawer.spec.size / 2
    at = Spot(knob_of(x, half), y, "knob of the drawer", KNOB_TOP)
    to = knob_of(SHUT_X, half) + target
    if target > 0:
        return SkillCall("pull", {"at": at, "to": Spot(to + BEYOND, y, "table before the drawer")})
    return SkillCall("pull", {"at": at, "to": Spot(to - 3 * BEYOND, y, "top of the cabinet", TOP)})

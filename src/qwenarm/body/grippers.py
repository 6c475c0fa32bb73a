"""What an arm grips with: two fingers or a suction cup. The arm's entry declares it, ``mount`` finds it in a model.

Every gripper is told one number, its opening in m: at 0 it grips, at ``max_gap`` it lets go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import mujoco
import numpy as np

from qwenarm.body.model_indices import subtree_bodies

FINGER_NAMES = ("finger_left", "finger_right")
GRIPPER_NAME = "gripper"
MAX_STILL_SPEED_M_PER_S = 0.05
"""Slower fingers stand still: they close at twice that speed, and twitch at half of it while they grip."""
LIP_PART_COUNT = 6
"""The lip of a cup consists of so many parts, each with its share of the force: where it does not touch, it leaks."""
MIN_SEALED_LIP_PARTS = 5
"""Parts of the lip that touch an object at least if it is held."""

BodyPairs = Sequence[Sequence[int]]
"""Ids of the two bodies of each contact."""


class MountedGripper(Protocol):
    """A gripper in a compiled model with its data."""

    @property
    def width(self) -> float:
        """The opening as it is now, m."""
        ...

    def open(self) -> None:
        """Opens at once, in the data alone."""
        ...

    def is_holding(self, opening: float, min_gap: float) -> bool:
        """Whether its own sensors say that it holds something.

        Args:
            opening: What it was last told, m.
            min_gap: Minimum width of what is between two fingers, in m.
        """
        ...

    def held(self, pairs: BodyPairs) -> set[int]:
        """The bodies that it holds, judged by what touches; what is fixed included."""
        ...

    def gripped(self, pairs: BodyPairs, normals: np.ndarray) -> set[int]:
        """Those of them that are held from opposite sides if there are two. normals (C, 3): from first to second."""
        ...

    def hold_at(self, width: float) -> None:
        """Makes it touch an object of this width, m, that was put between its fingers or against its cup."""
        ...


class Gripper(Protocol):
    """What an arm's entry says about its gripper.

    Attributes:
        max_gap: The opening at which it lets go, m.
        speed: Speed at which the opening changes, in m/s.
        has_fingers: Whether it can take hold of something from two sides; otherwise it needs a flat or round top.
        joints: Names of its joints.
        bodies: Names of the bodies that move with them.
        actuators: Names of its actuators, one after the other in the model.
        ctrl: Their control at an opening of 0, and at ``max_gap``.
        empty: What a policy is told when it has gripped nothing.
    """

    @property
    def max_gap(self) -> float: ...
    @property
    def speed(self) -> float: ...
    @property
    def has_fingers(self) -> bool: ...
    @property
    def joints(self) -> tuple[str, ...]: ...
    @property
    def bodies(self) -> tuple[str, ...]: ...
    @property
    def actuators(self) -> tuple[str, ...]: ...
    @property
    def ctrl(self) -> tuple[float, float]: ...
    @property
    def empty(self) -> str: ...

    @property
    def slimmest(self) -> float:
        """The opening, m, at which the hand is slimmest and holds nothing fast: for pushing."""
        ...

    def around(self, width: float, clearance: float) -> float:
        """The opening, m, that is free of an object of this width, m, by a clearance on each side, m."""
        ...

    def mount(self, model: mujoco.MjModel, data: mujoco.MjData) -> MountedGripper:
        """Finds it in a model."""
        ...


@dataclass(frozen=True)
class ParallelJaws:
    """Two fingers that slide. The gap between their pads, m, is the sum of the ``joints`` times ``gap_scale``.

    Attributes:
        max_gap: Between the pads when open, m.
        speed: Speed at which the gap changes, in m/s.
        joints: Both sliding joints, 0 when closed.
        bodies: Both fingers.
        actuators: What drives the gap.
        closed_and_open: Controls; None means that the control is the gap itself.
        gap_scale: See above.
    """

    max_gap: float
    speed: float = 0.2
    joints: tuple[str, ...] = FINGER_NAMES
    bodies: tuple[str, ...] = FINGER_NAMES
    actuators: tuple[str, ...] = (GRIPPER_NAME,)
    closed_and_open: tuple[float, float] | None = None
    gap_scale: float = 1.0
    has_fingers: bool = True
    slimmest: float = 0.0
    empty: str = "nothing between the fingers"

    @property
    def ctrl(self) -> tuple[float, float]:
        return self.closed_and_open or (0.0, self.max_gap)

    def around(self, width: float, clearance: float) -> float:
        return min(self.max_gap, width + 2 * clearance)

    def mount(self, model: mujoco.MjModel, data: mujoco.MjData) -> MountedJaws:
        return MountedJaws(self, model, data)


class MountedJaws:
    """Two fingers in a model."""

    def __init__(self, jaws: ParallelJaws, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self.jaws = jaws
        self.fingers = [subtree_bodies(model, model.body(name).id) for name in jaws.bodies]
        self.qpos_adr = [int(model.joint(name).qposadr[0]) for name in jaws.joints]
        self.dof_adr = [int(model.joint(name).dofadr[0]) for name in jaws.joints]
        self._model, self._data, self._qpos, self._qvel = model, data, data.qpos, data.qvel

    @property
    def width(self) -> float:
        qpos = self._qpos
        return sum([qpos.item(i) for i in self.qpos_adr]) * self.jaws.gap_scale

    def open(self) -> None:
        self.set(self.jaws.max_gap)

    def set(self, width: float, speed: float = 0.0) -> None:
        """Puts the fingers at a width, m, opening at a speed, m/s."""
        share = len(self.qpos_adr) * self.jaws.gap_scale
        self._qpos[self.qpos_adr] = width / share
        self._qvel[self.dof_adr] = speed / share

    def is_holding(self, opening: float, min_gap: float) -> bool:
        gap = self.width
        still = float(np.abs(self._qvel[self.dof_adr]).max()) < MAX_STILL_SPEED_M_PER_S
        return still and gap > min_gap and gap - opening > min_gap

    def held(self, pairs: BodyPairs) -> set[int]:
        """The bodies that both fingers touch."""
        left, right = self.fingers
        touched: tuple[set[int], set[int]] = set(), set()
        for pair in pairs:
            for body, other in (pair, pair[::-1]):
                if body in left and other not in left:
                    touched[0].add(other)
                if body in right and other not in right:
                    touched[1].add(other)
        return touched[0] & touched[1]

    def gripped(self, pairs: BodyPairs, normals: np.ndarray) -> set[int]:
        """An object that both fingers press from above is not held."""
        pushes: list[dict[int, np.ndarray]] = [{} for _ in self.fingers]
        for finger, sums in zip(self.fingers, pushes, strict=True):
            for (first, second), normal in zip(pairs, normals, strict=True):
                if first in finger:
                    sums[second] = sums.get(second, 0.0) + normal
                if second in finger:
                    sums[first] = sums.get(first, 0.0) - normal
        one, other = pushes[0], pushes[-1]
        return {body for body in one if body in other and one[body] @ other[body] < 0}

    def hold_at(self, width: float) -> None:
        self.set(width)
        mujoco.mj_forward(self._model, self._data)


@dataclass(frozen=True)
class SuctionCup:
    """A vacuum cup. Its opening is that of the valve to the air: 0 is full vacuum, ``max_gap``, its diameter, is none.

    The lip is a ring of small spheres, each on a body of its own with an adhesion actuator. Such an actuator pulls at
    what its body touches and at nothing else, so the cup holds by contact alone: there is no joint to switch on and
    nothing that says what is held. A part that does not touch pulls at nothing, and a load above the holding force
    tears the contact off.

    Attributes:
        max_gap: Diameter of the lip, m.
        speed: Speed of the valve, in m/s: the vacuum comes and goes in ``max_gap / speed`` seconds.
        part_radius: Radius of the spheres, in m.
        parts: Names of the lip's bodies and of their actuators.
    """

    max_gap: float
    speed: float
    part_radius: float = 0.002
    parts: tuple[str, ...] = tuple(f"lip{i}" for i in range(LIP_PART_COUNT))
    has_fingers: bool = False
    joints: tuple[str, ...] = ()
    bodies: tuple[str, ...] = ()
    ctrl: tuple[float, float] = (1.0, 0.0)
    empty: str = "nothing sticks to the suction cup"

    @property
    def lip_radius(self) -> float:
        """Radius of the circle on which the lip touches, in m."""
        return self.max_gap / 2 - self.part_radius

    @property
    def actuators(self) -> tuple[str, ...]:
        return self.parts

    @property
    def slimmest(self) -> float:
        return self.max_gap

    def around(self, width: float, clearance: float) -> float:
        return self.max_gap

    def mount(self, model: mujoco.MjModel, data: mujoco.MjData) -> MountedCup:
        return MountedCup(self, model, data)


class MountedCup:
    """A vacuum cup in a model."""

    def __init__(self, cup: SuctionCup, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self.cup = cup
        self.lip = frozenset(int(model.body(name).id) for name in cup.parts)
        self._valves = [model.actuator(name).id for name in cup.actuators]
        self._model, self._data, self._ctrl, self._body_of = model, data, data.ctrl, model.geom_bodyid

    @property
    def width(self) -> float:
        return self.cup.max_gap * (1.0 - self._ctrl.item(self._valves[0]))

    def open(self) -> None:
        self._ctrl[self._valves] = 0.0

    def is_holding(self, opening: float, min_gap: float) -> bool:
        """A vacuum gauge: there is a vacuum, and the lip is closed by something."""
        return bool(self._data.ncon) and bool(self.held(self._body_of[self._data.contact.geom].tolist()))

    def held(self, pairs: BodyPairs) -> set[int]:
        """The bodies that close the lip while there is a vacuum."""
        if self.width > self.cup.max_gap / 2:
            return set()
        met: dict[int, set[int]] = {}
        for pair in pairs:
            for body, other in (pair, pair[::-1]):
                if body in self.lip:
                    met.setdefault(other, set()).add(body)
        return {other for other, parts in met.items() if len(parts) >= MIN_SEALED_LIP_PARTS}

    def gripped(self, pairs: BodyPairs, normals: np.ndarray) -> set[int]:
        return self.held(pairs)

    def hold_at(self, width: float) -> None:
        mujoco.mj_forward(self._model, self._data)

"""The privileged truth about the table, and what can be asked of it. Only tasks and the oracle receive it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from qwenarm.body.objects.spec import CONTAINER_HALF_WIDTH_M, CONTAINER_HEIGHT_M, WALL_THICKNESS_M, ObjectSpec
from qwenarm.errors import BadInput
from qwenarm.types import SkillCall

CONTACT_TOLERANCE_M = 0.006
"""Two surfaces closer than this, in m, count as touching: contacts are soft, objects lean."""
REST_SPEED_M_PER_S = 0.01
"""Slower than this, in m/s, counts as standing still."""


@dataclass(frozen=True)
class ObjectState:
    """One object now. pos: (3,) m of its origin (see ObjectSpec.origin_height); quat: (4,) wxyz; speed: m/s."""

    spec: ObjectSpec
    pos: np.ndarray
    quat: np.ndarray
    speed: float

    @property
    def bottom(self) -> float:
        """Height of its underside above the table, m, as it stands upright (a solid tips onto an equal side)."""
        return float(self.pos[2]) - self.spec.origin_height

    @property
    def top(self) -> float:
        """Height of its upper end above the table, m."""
        return self.bottom + self.spec.height

    def local(self, point: np.ndarray) -> np.ndarray:
        """A world point (3,) in this object's frame, m."""
        back, turned = np.zeros(4), np.zeros(3)
        mujoco.mju_negQuat(back, self.quat)
        mujoco.mju_rotVecQuat(turned, point - self.pos, back)
        return turned


@dataclass(frozen=True)
class WorldState:
    """Everything on the table now. objects: by id; holding: id of the object that both fingers touch, or None.

    tcp: (3,) m. gripper_width: m. time_s: simulated seconds since the reset. said: the calls of "say", "done" and
    "give_up" so far, for goals that want an answer.
    """

    objects: Mapping[str, ObjectState]
    holding: str | None
    tcp: np.ndarray
    gripper_width: float
    time_s: float = 0.0
    said: tuple[SkillCall, ...] = ()

    def __getitem__(self, object_id: str) -> ObjectState:
        """An object by its id. Raises BadInput with the ids that there are."""
        if object_id not in self.objects:
            raise BadInput(f"No object {object_id!r} in the scene; there are {', '.join(self.objects)}.")
        return self.objects[object_id]

    def inside(self, a: str, b: str) -> bool:
        """Is a in the container b: between its walls, and lower than its rim or on top of something that is inside?"""
        low = self._over_floor(a, b)
        if low is None:
            return False
        if low < CONTAINER_HEIGHT_M[self[b].spec.shape] - 0.002:
            return True
        return any(self._stacked(a, other) and self.inside(other, b) for other in self.objects if other not in (a, b))

    def lies_in(self, a: str, b: str) -> bool:
        """The same, but a may also lean on what is in there, at most half of it over the rim. Not while it is held."""
        low = self._over_floor(a, b)
        over = low is not None and low - CONTAINER_HEIGHT_M[self[b].spec.shape] < self[a].spec.height / 2
        return a != self.holding and (over or self.inside(a, b))

    def _over_floor(self, a: str, b: str) -> float | None:
        """Height of a's underside over that of the container b, m; None if a is not between b's walls."""
        item, container = self[a], self[b]
        if a == b or not container.spec.container:
            return None
        local = container.local(item.pos)
        half = CONTAINER_HALF_WIDTH_M[container.spec.shape] - WALL_THICKNESS_M
        round_walls = container.spec.shape == "bowl"
        across = float(np.hypot(*local[:2])) if round_walls else float(np.abs(local[:2]).max())
        low = float(local[2]) - item.spec.origin_height
        return None if across > half or low < 0 else low

    def on(self, a: str, b: str) -> bool:
        """Does a stand on b? In a container counts as on it."""
        return self.inside(a, b) if self[b].spec.container else self._stacked(a, b)

    def on_table(self, a: str) -> bool:
        """Does a stand on the bare table, not in a container, not in the hand?"""
        return abs(self[a].bottom) < CONTACT_TOLERANCE_M - 0.002 and not any(
            self.inside(a, b) for b in self.objects if b != a
        )

    def at_rest(self) -> bool:
        """Does everything stand still?"""
        return all(thing.speed < REST_SPEED_M_PER_S for thing in self.objects.values())

    def _stacked(self, a: str, b: str) -> bool:
        """a's underside meets b's upper side, and a's middle is over b."""
        upper, lower = self[a], self[b]
        if a == b or lower.spec.container or abs(upper.bottom - lower.top) > CONTACT_TOLERANCE_M:
            return False
        return float(np.hypot(*(upper.pos[:2] - lower.pos[:2]))) < lower.spec.size / 2

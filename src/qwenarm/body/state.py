"""The true state of the table, and questions about it. Privileged: only tasks and the oracle receive it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qwenarm.body.objects.spec import CONTAINER_HALF_WIDTH_M, CONTAINER_HEIGHT_M, WALL_THICKNESS_M, ObjectSpec
from qwenarm.body.reach import Reach
from qwenarm.errors import BadInput
from qwenarm.types import SkillCall

CONTACT_TOLERANCE_M = 0.006
"""Maximum distance between touching surfaces, in m: contacts are soft, and stacked objects tilt a little."""
TABLE_TOLERANCE_M = 0.004
"""Maximum distance of an object's underside from the table it stands on, in m."""
RIM_TOLERANCE_M = 0.002
"""Minimum distance of an object's underside below the rim of the container it is in, in m."""
REST_SPEED_M_PER_S = 0.01
"""A slower object counts as standing still, in m/s."""


@dataclass(frozen=True)
class ObjectState:
    """The state of one object.

    Attributes:
        spec: Its kind.
        pos: (3,) position of its origin, in m (see ``ObjectSpec.origin_height``).
        quat: (4,) its orientation, wxyz.
        speed: In m/s.
    """

    spec: ObjectSpec
    pos: np.ndarray
    quat: np.ndarray
    speed: float

    @property
    def bottom(self) -> float:
        """Height of its underside above the table, in m, as if upright (solids that tip over have equal sides)."""
        return float(self.pos[2]) - self.spec.origin_height

    @property
    def top(self) -> float:
        """Height of its top above the table, in m."""
        return self.bottom + self.spec.height

    @property
    def yaw(self) -> float:
        """Its rotation about z, in rad, if it is upright."""
        return float(2 * np.arctan2(self.quat[3], self.quat[0]))

    def local(self, point: np.ndarray) -> tuple[float, float, float]:
        """Returns a world point (3,) in this object's frame, in m."""
        # mju_rotVecQuat in numbers, which for three of them are faster than arrays: goals ask in every period.
        (px, py, pz), (w, a, b, c), (x, y, z) = *self._origin_and_inverse, point.tolist()
        x, y, z = x - px, y - py, z - pz
        u, v, s = w * x + b * z - c * y, w * y + c * x - a * z, w * z + a * y - b * x
        return x + 2 * (b * s - c * v), y + 2 * (c * u - a * s), z + 2 * (a * v - b * u)

    @cached_property
    def _origin_and_inverse(self) -> tuple[list[float], list[float]]:
        w, a, b, c = self.quat.tolist()
        return self.pos.tolist(), [w, -a, -b, -c]


@dataclass(frozen=True)
class WorldState:
    """The state of everything on the table.

    Attributes:
        objects: By id.
        holding: Id of the object that both fingers touch, or None.
        tcp: (3,) position in m.
        gripper_width: Gap between the fingers, in m.
        time_s: Simulated seconds since the reset.
        said: The calls of "say", "done" and "give_up" so far, for goals that require an answer.
        reach: Where on the table the arm reaches; None for everywhere.
    """

    objects: Mapping[str, ObjectState]
    holding: str | None
    tcp: np.ndarray
    gripper_width: float
    time_s: float = 0.0
    said: tuple[SkillCall, ...] = ()
    reach: Reach | None = None

    def __getitem__(self, object_id: str) -> ObjectState:
        """Returns the object with this id. Raises BadInput with the existing ids."""
        found = self.objects.get(object_id)
        if found is None:
            raise BadInput(f"No object {object_id!r} in the scene; there are {', '.join(self.objects)}.")
        return found

    def inside(self, a: str, b: str) -> bool:
        """Returns whether ``a`` is in the container ``b``: between its walls, and below its rim or on its content."""
        height = self._height_over_floor(a, b)
        if height is None:
            return False
        if height < CONTAINER_HEIGHT_M[self[b].spec.shape] - RIM_TOLERANCE_M:
            return True
        return any(self._stacked(a, other) and self.inside(other, b) for other in self.objects if other not in (a, b))

    def lies_in(self, a: str, b: str) -> bool:
        """Like ``inside``, but ``a`` may lean on the content of ``b``, at most half above the rim, and is not held."""
        height = self._height_over_floor(a, b)
        over_rim = None if height is None else height - CONTAINER_HEIGHT_M[self[b].spec.shape]
        leans = over_rim is not None and over_rim < self[a].spec.height / 2
        return a != self.holding and (leans or self.inside(a, b))

    def on(self, a: str, b: str) -> bool:
        """Returns whether ``a`` stands on ``b``. Being in a container counts."""
        return self.inside(a, b) if self[b].spec.container else self._stacked(a, b)

    def on_table(self, a: str) -> bool:
        """Returns whether ``a`` stands on the bare table, not in a container or in the hand."""
        return abs(self[a].bottom) < TABLE_TOLERANCE_M and not any(self.inside(a, b) for b in self.objects if b != a)

    def at_rest(self) -> bool:
        """Returns whether everything stands still."""
        return all(thing.speed < REST_SPEED_M_PER_S for thing in self.objects.values())

    def _height_over_floor(self, a: str, b: str) -> float | None:
        """Returns how far ``a`` stands above the underside of the container ``b``, in m; None outside its walls."""
        item, container = self[a], self[b]
        if a == b or not container.spec.container:
            return None
        x, y, z = container.local(item.pos)
        off_center = math.hypot(x, y) if container.spec.shape == "bowl" else max(abs(x), abs(y))
        height = z - item.spec.origin_height
        inner_half = CONTAINER_HALF_WIDTH_M[container.spec.shape] - WALL_THICKNESS_M
        return None if off_center > inner_half or height < 0 else height

    def _stacked(self, a: str, b: str) -> bool:
        """Returns whether the underside of ``a`` meets the top of ``b``, with its middle above ``b``."""
        upper, lower = self[a], self[b]
        if a == b or lower.spec.container or abs(upper.bottom - lower.top) > CONTACT_TOLERANCE_M:
            return False
        return math.hypot(*(upper.pos[:2] - lower.pos[:2]).tolist()) < lower.spec.size / 2

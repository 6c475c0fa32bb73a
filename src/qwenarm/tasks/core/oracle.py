"""Privileged pointing: where things truly are in a picture. For the oracle and training labels, never for a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qwenarm.body.cameras import project
from qwenarm.body.simulation import Body
from qwenarm.errors import BadInput
from qwenarm.tasks.core.goal import Spot
from qwenarm.types import ImagePoint, SkillCall

SIZE = (240, 320)
"""(H, W) of the masks; the aspect ratio is that of the frames that policies see."""


class NotSeen(BadInput):
    """Something that no camera sees, because it is hidden, or has left the table."""


def oracle_point(body: Body, object_id: str, camera: str = "front") -> ImagePoint | None:
    """The middle of what is seen of an object, on the object; None if the camera sees nothing of it."""
    ids = [placement.spec.id for placement in body.scene.objects]
    label = body.scene.spec(object_id).label
    mask = body.segmentation(camera, SIZE) == ids.index(object_id)
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return None
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    u, v = (columns[nearest] + 0.5) / SIZE[1], (rows[nearest] + 0.5) / SIZE[0]
    return ImagePoint(float(u), float(v), label, camera)


def oracle_call(body: Body, call: SkillCall, cameras: Sequence[str] = ("front",)) -> SkillCall:
    """A solver's symbolic call with image points in the first of the cameras that sees what is meant."""
    return replace(call, args={name: _pointed(body, value, cameras) for name, value in call.args.items()})


def _pointed(body: Body, value: Any, cameras: Sequence[str]) -> Any:
    if isinstance(value, Spot):
        return _spot_point(body, value, cameras)
    if value not in [placement.spec.id for placement in body.scene.objects]:
        return value
    for camera in cameras:
        if point := oracle_point(body, value, camera):
            return point
    raise NotSeen(f"None of the cameras {', '.join(cameras)} sees {value}.")


def _spot_point(body: Body, spot: Spot, cameras: Sequence[str]) -> ImagePoint:
    for camera in cameras:
        pos, mat, fovy = body.camera_pose(camera)
        (u, v), _ = project(np.array([spot.x, spot.y, spot.z]), pos, mat, fovy, SIZE[1] / SIZE[0])
        if 0 <= u <= 1 and 0 <= v <= 1:
            return ImagePoint(float(u), float(v), spot.label, camera)
    raise NotSeen(f"None of the cameras {', '.join(cameras)} sees the {spot.label}.")

"""Where objects truly are in a picture. Privileged: for oracle, training and diagnosis, never for a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qwenarm.body.cameras import project
from qwenarm.body.simulation import Body
from qwenarm.errors import BadInput
from qwenarm.tasks.core.planning import WorldPoint
from qwenarm.types import ImagePoint, SkillCall

MASK_SIZE = (240, 320)
"""(height, width) of the segmentation in pixels; the aspect ratio is that of the frames that policies see."""


class NotVisible(BadInput):
    """No camera sees the object or point: it is hidden, or has left the table."""


def oracle_point(body: Body, object_id: str, camera: str = "front") -> ImagePoint | None:
    """The point on an object that is nearest to the middle of what a camera sees of it.

    Args:
        body: The world now.
        object_id: The object.
        camera: The camera's name.

    Returns:
        The image point, labelled with the object's name, or None if the camera sees nothing of it.
    """
    ids = [placement.spec.id for placement in body.scene.objects]
    label = body.scene.spec(object_id).label
    mask = body.segmentation(camera, MASK_SIZE) == ids.index(object_id)
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return None
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    u, v = (columns[nearest] + 0.5) / MASK_SIZE[1], (rows[nearest] + 0.5) / MASK_SIZE[0]
    return ImagePoint(float(u), float(v), label, camera)


def oracle_call(body: Body, call: SkillCall, cameras: Sequence[str] = ("front",)) -> SkillCall:
    """A solver's symbolic call with image points.

    Args:
        body: The world now.
        call: The call, whose points are object ids or ``WorldPoint``s.
        cameras: Names of cameras; the first that sees what is meant is pointed in.

    Raises:
        NotVisible: None of the cameras sees it.
    """
    return replace(call, args={name: _pointed(body, value, cameras) for name, value in call.args.items()})


def _pointed(body: Body, value: Any, cameras: Sequence[str]) -> Any:
    if isinstance(value, WorldPoint):
        return _project(body, value, cameras)
    if value not in [placement.spec.id for placement in body.scene.objects]:
        return value
    for camera in cameras:
        if point := oracle_point(body, value, camera):
            return point
    raise NotVisible(f"None of the cameras {', '.join(cameras)} sees {value}.")


def _project(body: Body, point: WorldPoint, cameras: Sequence[str]) -> ImagePoint:
    for camera in cameras:
        pos, mat, fovy = body.camera_pose(camera)
        (u, v), _ = project(np.array([point.x, point.y, point.z]), pos, mat, fovy, MASK_SIZE[1] / MASK_SIZE[0])
        if 0 <= u <= 1 and 0 <= v <= 1:
            return ImagePoint(float(u), float(v), point.label, camera)
    raise NotVisible(f"None of the cameras {', '.join(cameras)} sees the {point.label}.")

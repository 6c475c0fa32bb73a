"""True positions of objects in images. Privileged: for the oracle, training and diagnosis, never for a policy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qwenarm.body.cameras import project
from qwenarm.body.simulation import Body
from qwenarm.errors import BadInput
from qwenarm.tasks.core.planning import CalledObject, PlacesNote, WorldPoint
from qwenarm.types import ImagePoint, SkillCall

MASK_SIZE = (240, 320)
"""(H, W) of the segmentation in pixels, with the aspect ratio of the frames that policies see."""


NOTE_SCALE = 1000
"""Number of units along each side of the image in a note, as in Qwen3-VL's points."""
NOTED_PATTERN = re.compile(r"([^;]+?) at (\d+) (\d+)")
NOTE_PATTERN = re.compile(rf"{NOTED_PATTERN.pattern}(; {NOTED_PATTERN.pattern})*")


class NotVisible(BadInput):
    """Raised when no camera sees an object or point, because it is hidden or has left the table."""


def oracle_point(body: Body, object_id: str, camera: str = "front") -> ImagePoint | None:
    """Returns the image point of an object: its visible pixel nearest to the centre of all its visible pixels.

    Args:
        body: The simulated world.
        object_id: Id of the object.
        camera: Name of the camera.

    Returns:
        The point, labelled with the object's name, or None if the camera does not see the object.
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
    """Turns a solver's symbolic call into one with image points.

    Args:
        body: The simulated world.
        call: A call whose points are object ids or ``WorldPoint``s, and whose texts may be ``PlacesNote``s.
        cameras: Names of cameras; each point is in the image of the first one that sees it.

    Raises:
        NotVisible: None of the cameras sees the object or point.
    """
    return replace(call, args={name: _pointed(body, value, cameras) for name, value in call.args.items()})


def _pointed(body: Body, value: Any, cameras: Sequence[str]) -> Any:
    if isinstance(value, PlacesNote):
        return note_text(body, value, cameras[0])
    if isinstance(value, WorldPoint):
        return _project(body, value, cameras)
    if value not in [placement.spec.id for placement in body.scene.objects]:
        return value
    for camera in cameras:
        if point := oracle_point(body, value, camera):
            return replace(point, label=value.label) if isinstance(value, CalledObject) else point
    raise NotVisible(f"None of the cameras {', '.join(cameras)} sees {value}.")


def note_text(body: Body, note: PlacesNote, camera: str = "front") -> str:
    """Writes a note about the objects that the camera sees. Places are in thousandths of the image."""
    points = [point for thing in note.objects if (point := oracle_point(body, thing, camera))]
    return "; ".join(f"{p.label} at {round(p.u * NOTE_SCALE)} {round(p.v * NOTE_SCALE)}" for p in points)


def points_in_note(text: str, camera: str = "front") -> list[ImagePoint]:
    """Reads what ``note_text`` wrote; nothing from any other text."""
    if not NOTE_PATTERN.fullmatch(text):
        return []
    found = (NOTED_PATTERN.fullmatch(part) for part in text.split("; "))
    return [ImagePoint(int(m[2]) / NOTE_SCALE, int(m[3]) / NOTE_SCALE, m[1], camera) for m in found if m]


def _project(body: Body, point: WorldPoint, cameras: Sequence[str]) -> ImagePoint:
    for camera in cameras:
        pos, mat, fovy = body.camera_pose(camera)
        (u, v), _ = project(np.array([point.x, point.y, point.z]), pos, mat, fovy, MASK_SIZE[1] / MASK_SIZE[0])
        if 0 <= u <= 1 and 0 <= v <= 1:
            return ImagePoint(float(u), float(v), point.label, camera)
    raise NotVisible(f"None of the cameras {', '.join(cameras)} sees the {point.label}.")

"""The cameras, one file each, whose entry is ``CAMERA``. Their geometry is in ``geometry.py``."""

from __future__ import annotations

from collections.abc import Iterable

from qwenarm.body.cameras.front import CAMERA as FRONT
from qwenarm.body.cameras.geometry import Camera, pixel_grid, project, ray, unproject
from qwenarm.errors import BadInput
from qwenarm.registry import list_names, load

__all__ = ["FRONT", "SHIPPED_CAMERAS", "Camera", "cameras_named", "pixel_grid", "project", "ray", "unproject"]

SHIPPED_CAMERAS: tuple[Camera, ...] = tuple(load("cameras", name) for name in list_names("cameras"))
"""The cameras of every scene."""


def cameras_named(ids: Iterable[str]) -> tuple[Camera, ...]:
    """Returns the cameras with these ids, each once.

    Raises:
        UnknownName: There is no such camera.
        BadInput: A ``module:NAME`` cannot be loaded, or another camera has its name.
    """
    cameras = tuple(dict.fromkeys(load("cameras", each) for each in ids))
    names = [camera.name for camera in {*SHIPPED_CAMERAS, *cameras}]
    for camera in cameras:
        if names.count(camera.name) > 1:
            raise BadInput(f"Two cameras are called {camera.name!r}; give yours another name.")
    return cameras

"""A camera, and how points in the world become points in its picture and back.

MuJoCo's camera frame has x to the right and y up, and looks along -z. Depth is measured in metres along the optical
axis, not along the ray.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

WORKSPACE_MIDDLE = (0.53, 0.0, 0.0)
"""The middle of the workspace on the table, m."""


@dataclass(frozen=True)
class Camera:
    """A registry entry: a pinhole camera.

    Attributes:
        name: Its name, also to models.
        pos: (3,) its position, in m, in the frame of ``body``.
        target: (3,) the point that it looks at, in the same frame, in m.
        fovy_deg: Its vertical field of view, in degrees.
        body: The body that it is mounted on; None is the world.
        up: (3,) the direction that is up in its picture, in the same frame.
    """

    name: str
    pos: tuple[float, float, float]
    target: tuple[float, float, float]
    fovy_deg: float
    body: str | None = None
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)

    @lru_cache(maxsize=64)  # noqa: B019  (cameras are few, small and compared by value)
    def axes(self) -> np.ndarray:
        """The camera's x (right), y (up) and z (backwards) as columns of a rotation (3, 3) in the parent's frame."""
        back = np.subtract(self.pos, self.target)
        back = back / np.linalg.norm(back)
        right = np.cross(self.up, back)
        right = right / np.linalg.norm(right)
        return np.stack([right, np.cross(back, right), back], axis=1)


def project(
    points: np.ndarray, pos: np.ndarray, mat: np.ndarray, fovy_deg: float, aspect: float
) -> tuple[np.ndarray, np.ndarray]:
    """Projects world points (..., 3) to image fractions (..., 2) and depths (...,) in m.

    Args:
        points: In m.
        pos: (3,) position of the camera in the world, in m.
        mat: (3, 3) its rotation.
        fovy_deg: Its vertical field of view, in degrees.
        aspect: Width divided by height of the picture.

    Returns:
        Fractions (u right, v down), which may lie outside 0..1, and depths.
    """
    local = (np.asarray(points) - pos) @ mat
    depth = -local[..., 2]
    tan = math.tan(math.radians(fovy_deg) / 2)
    u = 0.5 + local[..., 0] / depth / (2 * tan * aspect)
    v = 0.5 - local[..., 1] / depth / (2 * tan)
    return np.stack([u, v], axis=-1), depth


def unproject(
    uv: np.ndarray, depth: np.ndarray, pos: np.ndarray, mat: np.ndarray, fovy_deg: float, aspect: float
) -> np.ndarray:
    """Inverts ``project``: returns the world points (..., 3) in m of image fractions (..., 2) at depths (...,) in m."""
    uv, depth = np.asarray(uv), np.asarray(depth)
    tan = math.tan(math.radians(fovy_deg) / 2)
    x = (uv[..., 0] - 0.5) * 2 * tan * aspect * depth
    y = (0.5 - uv[..., 1]) * 2 * tan * depth
    return pos + np.stack([x, y, -depth], axis=-1) @ mat.T


def ray(u: float, v: float, mat: np.ndarray, fovy_deg: float, aspect: float) -> np.ndarray:
    """Returns the vector (3,) in m, in the world frame, from a camera to an image fraction at a depth of one metre."""
    tan = math.tan(math.radians(fovy_deg) / 2)
    return mat @ np.array([(2 * u - 1) * tan * aspect, (1 - 2 * v) * tan, -1.0])


def pixel_grid(height: int, width: int) -> np.ndarray:
    """Returns the fractions (H, W, 2) of the pixel centres."""
    u, v = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    return np.stack([u, v], axis=-1)

"""What a camera is, and how points in the world become points in its picture and back.

MuJoCo's camera frame has x to the right and y up, and looks along -z. Depth is measured along the optical axis, in
metres, not along the ray.
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
        name: What a model is told it is called.
        pos: (3,) m, where it is, in the frame of ``body``.
        target: (3,) m, the point that it looks at, in the same frame.
        fovy_deg: Its vertical field of view.
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
        """(3, 3) rotation whose columns are the camera's x (right), y (up) and z (backwards) in the parent's frame."""
        back = np.subtract(self.pos, self.target)
        back = back / np.linalg.norm(back)
        right = np.cross(self.up, back)
        right = right / np.linalg.norm(right)
        return np.stack([right, np.cross(back, right), back], axis=1)


def project(
    points: np.ndarray, pos: np.ndarray, mat: np.ndarray, fovy_deg: float, aspect: float
) -> tuple[np.ndarray, np.ndarray]:
    """World points (..., 3) to image fractions (..., 2) (u right, v down, may lie outside 0..1) and depths (...,) in m.

    pos (3,), mat (3, 3): the camera's pose in the world. aspect: width / height of the picture.
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
    """Image fractions (..., 2) at depths (...,) m to world points (..., 3): the inverse of ``project``."""
    uv, depth = np.asarray(uv), np.asarray(depth)
    tan = math.tan(math.radians(fovy_deg) / 2)
    x = (uv[..., 0] - 0.5) * 2 * tan * aspect * depth
    y = (0.5 - uv[..., 1]) * 2 * tan * depth
    return pos + np.stack([x, y, -depth], axis=-1) @ mat.T


def ray(u: float, v: float, mat: np.ndarray, fovy_deg: float, aspect: float) -> np.ndarray:
    """(3,) m, world: from a camera to what it sees at an image fraction at a depth of one metre; see ``unproject``."""
    tan = math.tan(math.radians(fovy_deg) / 2)
    return mat @ np.array([(2 * u - 1) * tan * aspect, (1 - 2 * v) * tan, -1.0])


def pixel_grid(height: int, width: int) -> np.ndarray:
    """(H, W, 2) fractions of the pixel centres."""
    u, v = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    return np.stack([u, v], axis=-1)

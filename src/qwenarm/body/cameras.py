"""The cameras and their geometry: where they hang, how points become image fractions and back.

MuJoCo's camera frame: x right, y up, looking along -z.
Depth is measured along the optical axis (metres), not along the ray.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from qwenarm.errors import UnknownName
from qwenarm.registry import split_names


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. pos: (3,) m and target: (3,) m looked at, in the frame of ``body`` (None = world);
    fovy: vertical, degrees."""

    name: str
    pos: tuple[float, float, float]
    target: tuple[float, float, float]
    fovy_deg: float
    body: str | None = None
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)

    @lru_cache(maxsize=64)  # noqa: B019  (cameras are few, small and told apart by their values)
    def axes(self) -> np.ndarray:
        """(3, 3) rotation whose columns are the camera's x (right), y (up) and z (backwards) in the parent's frame."""
        back = np.subtract(self.pos, self.target)
        back = back / np.linalg.norm(back)
        right = np.cross(self.up, back)
        right = right / np.linalg.norm(right)
        return np.stack([right, np.cross(back, right), back], axis=1)


ELEVATION = math.radians(50.0)
MIDDLE = (0.53, 0.0, 0.0)
"""Middle of the workspace on the table."""

FRONT = Camera(
    "front", (MIDDLE[0] + 1.05 * math.cos(ELEVATION), 0.0, 1.05 * math.sin(ELEVATION)), MIDDLE, fovy_deg=29.0
)
OVERHEAD = Camera("overhead", (MIDDLE[0], 0.0, 1.20), MIDDLE, fovy_deg=29.0, up=(-1.0, 0.0, 0.0))
WRIST = Camera("wrist", (0.085, 0.0, 0.045), (0.03, 0.0, 0.17), fovy_deg=65.0, body="hand", up=(1.0, 0.0, 0.0))
WIDE = Camera("wide", (1.45, 0.95, 0.85), (0.30, 0.0, 0.27), fovy_deg=40.0)
"""For people: robot and table together. Films use it; no model is shown it unless asked."""
CAMERAS = (FRONT, OVERHEAD, WRIST, WIDE)


def cameras_named(text: str) -> tuple[str, ...]:
    """The cameras in a comma-separated list, each once; () for "". Raises UnknownName and BadInput."""
    known = [camera.name for camera in CAMERAS]
    names = tuple(dict.fromkeys(split_names(text, "--cameras")))
    for name in names:
        if name not in known:
            raise UnknownName("camera", name, known)
    return names


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

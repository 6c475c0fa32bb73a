"""What the Gymnasium environment observes: the arm, pictures, and on request depth, camera parameters and objects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from qwenarm.body.simulation import Body
from qwenarm.errors import BadInput

MAX_OBSERVED_OBJECTS = 24
"""Rows of the objects' state; those that a scene does not fill are zero."""
POSE_NUMBERS = 7
"""Position in m and quaternion wxyz."""


@dataclass(frozen=True)
class ObservationFormat:
    """Which parts an observation has, and how they are named.

    Attributes:
        cameras: Whose pictures are observed.
        size: (H, W) of the pictures.
        depth: Whether depth images and camera parameters are observed, too.
        object_state: Whether the true poses of the objects are observed: for learners that do not look.
        flat: Whether "pixels" and the like are keys with the camera behind them, "pixels_front", in place of dicts.
    """

    cameras: tuple[str, ...]
    size: tuple[int, int]
    depth: bool = False
    object_state: bool = False
    flat: bool = False

    def space(self, positions: int) -> spaces.Dict:
        """The space of the observations of arms with so many joints and grippers."""
        parts: dict[str, Any] = {"agent_pos": _unbounded(positions)}
        if self.object_state:
            parts["objects"] = _unbounded(MAX_OBSERVED_OBJECTS, POSE_NUMBERS)
        views: dict[str, spaces.Space] = {"pixels": spaces.Box(0, 255, (*self.size, 3), np.uint8)}
        if self.depth:
            views["depth"] = spaces.Box(0, np.inf, self.size, np.float32)
            views |= {"intrinsics": _unbounded(3, 3), "extrinsics": _unbounded(4, 4)}
        for name, part in self._named(
            {name: dict.fromkeys(self.cameras, view) for name, view in views.items()}
        ).items():
            parts[name] = spaces.Dict(part) if isinstance(part, dict) else part
        return spaces.Dict(parts)

    def read(self, body: Body) -> dict[str, Any]:
        """The observation now. Raises BadInput when the scene has more than ``MAX_OBSERVED_OBJECTS`` objects."""
        positions = [at for each in body.manipulators for at in (*each.qpos.tolist(), each.gripper.width)]
        observation: dict[str, Any] = {"agent_pos": np.array(positions, np.float32)}
        if self.object_state:
            observation["objects"] = _object_poses(body)
        if not self.cameras:
            return observation
        views = {"pixels": {name: body.frame(name, self.size).rgb for name in self.cameras}}
        if self.depth:
            views["depth"] = {name: body.depth(name, self.size) for name in self.cameras}
            views["intrinsics"] = {name: intrinsics(body, name, self.size) for name in self.cameras}
            views["extrinsics"] = {name: extrinsics(body, name) for name in self.cameras}
        return observation | self._named(views)

    def _named(self, views: dict[str, dict[str, Any]]) -> dict[str, Any]:
        if self.flat:
            return {f"{name}_{camera}": part for name, parts in views.items() for camera, part in parts.items()}
        return views if self.cameras else {}


def intrinsics(body: Body, camera: str, size: tuple[int, int]) -> np.ndarray:
    """(3, 3) float32 pinhole matrix in pixels: x to the right, y down, the principal point in the middle."""
    height, width = size
    focal = height / (2 * math.tan(math.radians(body.camera_pose(camera)[2]) / 2))
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], np.float32)


def extrinsics(body: Body, camera: str) -> np.ndarray:
    """(4, 4) float32: from the camera's frame (x right, y down, z forward, m) to the world's."""
    pos, mat, _ = body.camera_pose(camera)
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3], pose[:3, 3] = mat * [1, -1, -1], pos  # MuJoCo's camera has y up and looks along -z
    return pose


def _object_poses(body: Body) -> np.ndarray:
    """(MAX_OBSERVED_OBJECTS, 7) float32, in the order of the scene."""
    objects = list(body.state().objects.values())
    if len(objects) > MAX_OBSERVED_OBJECTS:
        raise BadInput(f"object_state has room for {MAX_OBSERVED_OBJECTS} objects, and this scene has {len(objects)}.")
    poses = np.zeros((MAX_OBSERVED_OBJECTS, POSE_NUMBERS), np.float32)
    for row, thing in zip(poses, objects, strict=False):
        row[:3], row[3:] = thing.pos, thing.quat
    return poses


def _unbounded(*shape: int) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, shape, np.float32)

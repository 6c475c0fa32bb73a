"""An arm in another simulator: what the skills read comes from the observations that its client sends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mujoco
import numpy as np

from qwenarm.body.arms.parts import Arm
from qwenarm.body.grippers import MountedJaws
from qwenarm.body.safety import CONTROL_PERIOD_S, ServoTarget
from qwenarm.body.scene import Scene
from qwenarm.body.simulation import Body
from qwenarm.errors import BadInput
from qwenarm.policies.conventions import MAX_JOINT_RAD
from qwenarm.types import Control

MAX_WIDTH_M, MAX_DISTANCE_M = 1.0, 100.0
"""Larger ones have another unit than metres."""
ROTATION_TOLERANCE = 1e-3
"""How far the products of a camera's axes may be from those of a rotation."""


class RemoteBody(Body):
    """The arm alone, in the pose of the last observation. Controls are limited as always; the other simulator moves.

    Cameras have our names. They stand where the observations say, or else where ours stand.
    """

    def __init__(self, arm: Arm) -> None:
        self._depths: dict[str, np.ndarray] = {}
        self._poses: dict[str, tuple[np.ndarray, np.ndarray, float]] = {}
        super().__init__(Scene(()), arm)
        if not isinstance(self.gripper, MountedJaws):
            raise BadInput(f"The width of its fingers tells whether a hand holds something; {arm.name} has none.")
        if arm.partners:
            raise BadInput(f"{arm.name} is two arms, and the protocol has the state of one.")
        self._jaws = self.gripper

    def sync(self, observation: Mapping[str, Any]) -> None:
        """Takes over what the other simulator observed after the last control.

        Args:
            observation: "joints" (n,) rad, "gripper_width" m; where a skill looks, also "depth" {camera: (H, W) m along
                the optical axis} and, for cameras that do not stand as ours do, "cameras" {camera: {"pos": (3,) m,
                "mat": (3, 3) with columns right, up, backwards, "fovy_deg": vertical field of view}}.

        Raises:
            BadInput: Something is missing or has the wrong shape.
        """
        joints = _array(observation, "joints", self.qpos.shape, MAX_JOINT_RAD)
        width = float(_array(observation, "gripper_width", (), MAX_WIDTH_M))
        speed = (width - self.gripper_width) / CONTROL_PERIOD_S
        self.data.qpos[self.kinematics.qpos_adr] = joints
        self._jaws.set(width, speed)
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        depths, poses = by_camera(observation, "depth"), by_camera(observation, "cameras")
        self._depths |= {camera: _array(depths, camera, (None, None)) for camera in depths}
        self._poses |= {camera: _pose(pose) for camera, pose in poses.items()}

    def check_depth(self, cameras: Sequence[str]) -> None:
        """Raises BadInput when no depth image of one of these cameras was ever sent."""
        missing = [camera for camera in cameras if camera not in self._depths]
        if missing:
            raise BadInput(
                f"The skills measure heights: send depth images {{camera: (H, W) m}} of {', '.join(missing)} from the "
                "first observation of an episode on; without them nothing is moved."
            )

    def begin(self) -> None:
        """Starts an episode: the present pose becomes the arm's target."""
        gripper = min(self.gripper_width, self.arm.max_gap)
        self.active.target = ServoTarget(self.qpos, np.zeros_like(self.qpos), gripper)
        self.data.time = 0.0
        self.said.clear()

    def step(self, control: Control) -> None:
        """Limits the control and takes it as the target; the next ``sync`` brings its effect."""
        self.active.target, clamps = self.safety.limit(control, self.target, self.qpos)
        self.clamps.update(clamps)
        self.data.time += CONTROL_PERIOD_S

    def depth(self, camera: str, size: tuple[int, int]) -> np.ndarray:
        """(H, W) float32 m: the last depth image that was sent, resampled. Raises BadInput when there is none."""
        if camera not in self._depths:
            raise BadInput(f"the skills need the depth image of the camera {camera!r}, and none was sent")
        depth = self._depths[camera]
        rows, columns = ((np.arange(n) + 0.5) * sent / n for n, sent in zip(size, depth.shape, strict=True))
        return depth[rows.astype(int)[:, None], columns.astype(int)].astype(np.float32)

    def camera_pose(self, camera: str) -> tuple[np.ndarray, np.ndarray, float]:
        """Position, axes and field of view as of ``Body.camera_pose``, from the observations if they tell them."""
        return self._poses[camera] if camera in self._poses else super().camera_pose(camera)


def by_camera(observation: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What an observation says for each camera under this name; {} if nothing. Raises BadInput for anything else."""
    told = observation.get(name)
    if not isinstance(told, Mapping | None):
        raise BadInput(f"{name!r} is a map from cameras, not {type(told).__name__}.")
    return {str(camera): value for camera, value in (told or {}).items()}


def _pose(told: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, float]:
    """Position, axes and field of view of a camera. Raises BadInput."""
    pos, mat = _array(told, "pos", (3,), MAX_DISTANCE_M), _array(told, "mat", (3, 3))
    fovy = _array(told, "fovy_deg", ())
    if not np.allclose(mat @ mat.T, np.eye(3), atol=ROTATION_TOLERANCE) or not 0 < fovy < 180:
        raise BadInput("The 'mat' of a camera is a rotation, and its 'fovy_deg' between 0 and 180.")
    return pos, mat, float(fovy)


def _array(values: Mapping[str, Any], name: str, shape: tuple[int | None, ...], limit: float = np.inf) -> np.ndarray:
    """An array of numbers with this shape, None for any length, and no number beyond the limit. Raises BadInput."""
    try:
        array = np.asarray(values[name], dtype=float)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"The observation has no numbers {name!r}.") from error
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    if not fits or not array.size:
        raise BadInput(f"{name!r} has the shape {shape}, not {array.shape}.")
    if not (np.abs(array) <= limit).all():  # also false for NaN
        raise BadInput(f"{name!r} has a number that is none, or beyond {limit:.3g}: check its unit.")
    return array

"""Quaternions (w, x, y, z) of rotations that are told in another way."""

import math

import mujoco
import numpy as np


def about_z(angle: float) -> list[float]:
    """Returns the quaternion of a rotation about z by ``angle`` rad."""
    return [math.cos(angle / 2), 0, 0, math.sin(angle / 2)]


def quat_of(matrix: np.ndarray) -> np.ndarray:
    """Returns the quaternion (4,) of a rotation matrix (3, 3)."""
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, matrix.flatten())
    return quat

"""Another front camera: shaken, then shifted and turned, then at another viewpoint.

The overhead camera stays, because the skills use it; only what the policy sees changes.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from qwenarm.body.cameras import FRONT, Camera, project
from qwenarm.body.cameras.geometry import WORKSPACE_MIDDLE
from qwenarm.body.scene import Placement
from qwenarm.perturbations import Perturbation
from qwenarm.tasks.core.goal import Setup

SHIFT_M, TARGET_SHIFT_M = (0.02, 0.06), (0.01, 0.03)
"""Maximum shift of the camera and of its target along each axis, in m, at strengths 1 and 2."""
ZOOM_DEG, ROLL_DEG = (0.5, 2.0), (1.0, 4.0)
"""Maximum change of the field of view and rotation about the optical axis, in degrees, at strengths 1 and 2."""
AZIMUTH_DEG, ELEVATION_DEG, DISTANCE_M = (30.0, 65.0), (38.0, 60.0), (1.0, 1.25)
"""Ranges at strength 3: angle to either side, angle above the table, and distance from the middle of the workspace."""
FRAME_MARGIN = 0.03
"""Minimum distance of every object's middle from the edge of the image, as a fraction of its side."""
MAX_FOVY_DEG, FOVY_STEP_DEG = 60, 1.0
ASPECT_RATIO = 4 / 3
"""Width divided by height of the images that policies see."""
CAMERA_DRAWS = 30
"""Number of cameras that are drawn to find one that hides little."""


def perturb(rng: np.random.Generator, setup: Setup, strength: int) -> Setup:
    """Draws a front camera that has all objects in its image and, if possible, none behind another."""
    placements = setup.scene.objects
    candidates = [_drawn(rng, strength) for _ in range(CAMERA_DRAWS)]
    camera = min((_widened(candidate, placements) for candidate in candidates), key=lambda c: _hidden(c, placements))
    cameras = tuple(camera if old.name == FRONT.name else old for old in setup.scene.cameras)
    return replace(setup, scene=replace(setup.scene, cameras=cameras))


def _drawn(rng: np.random.Generator, strength: int) -> Camera:
    if strength == 3:
        azimuth = math.radians(rng.choice([-1, 1]) * rng.uniform(*AZIMUTH_DEG))
        elevation, distance = math.radians(rng.uniform(*ELEVATION_DEG)), rng.uniform(*DISTANCE_M)
        across, up = distance * math.cos(elevation), distance * math.sin(elevation)
        pos = (WORKSPACE_MIDDLE[0] + across * math.cos(azimuth), across * math.sin(azimuth), up)
        return replace(FRONT, pos=pos)
    i = strength - 1
    pos = FRONT.pos + rng.uniform(-SHIFT_M[i], SHIFT_M[i], 3)
    target = FRONT.target + rng.uniform(-TARGET_SHIFT_M[i], TARGET_SHIFT_M[i], 3)
    roll = math.radians(rng.uniform(-ROLL_DEG[i], ROLL_DEG[i]))
    return replace(
        FRONT,
        pos=(float(pos[0]), float(pos[1]), float(pos[2])),
        target=(float(target[0]), float(target[1]), float(target[2])),
        fovy_deg=FRONT.fovy_deg + float(rng.uniform(-ZOOM_DEG[i], ZOOM_DEG[i])),
        up=(0.0, math.sin(roll), math.cos(roll)),
    )


def _widened(camera: Camera, placements: tuple[Placement, ...]) -> Camera:
    """Returns the camera with a field of view that includes every object."""
    while camera.fovy_deg < MAX_FOVY_DEG:
        uv, _ = _projected(camera, placements)
        if ((uv > FRAME_MARGIN) & (uv < 1 - FRAME_MARGIN)).all():
            break
        camera = replace(camera, fovy_deg=camera.fovy_deg + FOVY_STEP_DEG)
    return camera


def _hidden(camera: Camera, placements: tuple[Placement, ...]) -> int:
    """Returns the number of pairs of objects in which one is in front of the other."""
    uv, depth = _projected(camera, placements)
    scale = 2 * math.tan(math.radians(camera.fovy_deg) / 2)
    across = (uv * [ASPECT_RATIO, 1.0] - 0.5) * scale * depth[:, None]  # m, across the optical axis
    hidden = 0
    for i, far in enumerate(placements):
        for j, near in enumerate(placements):
            reach = 0.8 * (far.spec.radius + near.spec.radius)
            hidden += i != j and depth[j] < depth[i] and float(np.hypot(*(across[i] - across[j]))) < reach
    return hidden


def _projected(camera: Camera, placements: tuple[Placement, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Returns image fractions (N, 2) and depths (N,) in m of the objects' middles."""
    middles = np.array([(*p.pos[:2], p.pos[2] - p.spec.origin_height + p.spec.height / 2) for p in placements])
    return project(middles.reshape(-1, 3), np.array(camera.pos), camera.axes(), camera.fovy_deg, ASPECT_RATIO)


PERTURBATION = Perturbation(("shaken", "shifted, turned, zoomed", "another point of view"), perturb)

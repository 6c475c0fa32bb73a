"""Where the front camera hangs: shaken a little, or at strength 3 another point of view.

The overhead camera stays: it is the skills' instrument, so what changes is only what is seen.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from qwenarm.body.cameras import FRONT, MIDDLE, Camera, project
from qwenarm.body.scene import Placement
from qwenarm.perturbations._axis import Axis
from qwenarm.tasks.core.goal import Setup

SHIFT, AIM, ZOOM, ROLL = (0.02, 0.06), (0.01, 0.03), (0.5, 2.0), (1.0, 4.0)
"""At strengths 1 and 2: of the camera and of what it looks at, m; of its field of view and about its axis, degrees."""
AZIMUTH, ELEVATION, DISTANCE = (30.0, 65.0), (38.0, 60.0), (1.0, 1.25)
"""At strength 3: to either side and above the table, degrees; from the workspace's middle, m."""
EDGE = 0.03
"""Every thing's middle stays so far inside the picture, as a fraction."""
ASPECT = 4 / 3
DRAWS = 30


def change(rng: np.random.Generator, setup: Setup, strength: int) -> Setup:
    """A new front camera that still has everything in its picture, and nothing behind anything if that can be had."""
    placements = setup.scene.objects
    candidates = [_drawn(rng, strength) for _ in range(DRAWS)]
    camera = min((_widened(candidate, placements) for candidate in candidates), key=lambda c: _hidden(c, placements))
    cameras = tuple(camera if old.name == FRONT.name else old for old in setup.scene.cameras)
    return replace(setup, scene=replace(setup.scene, cameras=cameras))


def _drawn(rng: np.random.Generator, strength: int) -> Camera:
    if strength == 3:
        azimuth = math.radians(rng.choice([-1, 1]) * rng.uniform(*AZIMUTH))
        elevation, distance = math.radians(rng.uniform(*ELEVATION)), rng.uniform(*DISTANCE)
        across, up = distance * math.cos(elevation), distance * math.sin(elevation)
        pos = (MIDDLE[0] + across * math.cos(azimuth), across * math.sin(azimuth), up)
        return replace(FRONT, pos=pos)
    i = strength - 1
    pos, target = (FRONT.pos + rng.uniform(-SHIFT[i], SHIFT[i], 3)), FRONT.target + rng.uniform(-AIM[i], AIM[i], 3)
    roll = math.radians(rng.uniform(-ROLL[i], ROLL[i]))
    return Camera(
        FRONT.name,
        (float(pos[0]), float(pos[1]), float(pos[2])),
        (float(target[0]), float(target[1]), float(target[2])),
        FRONT.fovy_deg + float(rng.uniform(-ZOOM[i], ZOOM[i])),
        up=(0.0, math.sin(roll), math.cos(roll)),
    )


def _widened(camera: Camera, placements: tuple[Placement, ...]) -> Camera:
    """With a field of view that has everything in it."""
    while camera.fovy_deg < 60:
        uv, _ = _seen(camera, placements)
        if ((uv > EDGE) & (uv < 1 - EDGE)).all():
            break
        camera = replace(camera, fovy_deg=camera.fovy_deg + 1.0)
    return camera


def _hidden(camera: Camera, placements: tuple[Placement, ...]) -> int:
    """How many things another one stands in front of."""
    uv, depth = _seen(camera, placements)
    scale = 2 * math.tan(math.radians(camera.fovy_deg) / 2)
    across = (uv * [ASPECT, 1.0] - 0.5) * scale * depth[:, None]  # m, in a plane before the camera
    hidden = 0
    for i, far in enumerate(placements):
        for j, near in enumerate(placements):
            reach = 0.8 * (far.spec.radius + near.spec.radius)
            hidden += i != j and depth[j] < depth[i] and float(np.hypot(*(across[i] - across[j]))) < reach
    return hidden


def _seen(camera: Camera, placements: tuple[Placement, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Image fractions (N, 2) and depths (N,) m of the things' middles."""
    middles = np.array([(*p.pos[:2], p.pos[2] - p.spec.origin_height + p.spec.height / 2) for p in placements])
    return project(middles.reshape(-1, 3), np.array(camera.pos), camera.axes(), camera.fovy_deg, ASPECT)


AXIS = Axis("camera", "The front camera.", ("shaken", "shifted, turned, zoomed", "another point of view"), change)

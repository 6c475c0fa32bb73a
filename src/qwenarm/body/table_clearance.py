"""What of an arm could touch the table, and how low it is."""

from __future__ import annotations

import numpy as np

from qwenarm.body.kinematics import Kinematics
from qwenarm.body.model_indices import subtree_bodies

MIN_GEOM_HEIGHT_M = 0.0005
"""No geom of the moving arm is commanded lower than this, m: fingers pressed on the table would stick to it."""
VERTICAL_AXIS_COSINE = 0.9999
"""An axis whose angle to the vertical has a larger cosine than this counts as vertical."""


def touching_geoms(kinematics: Kinematics) -> np.ndarray:
    """Ids of the geoms that can collide and hang on the arm's first joint.

    Left out is what can only turn about the vertical and reaches into the table all the same: nothing would lift it.
    """
    model, arm = kinematics.model, kinematics.arm
    first, second = (int(model.joint(name).bodyid[0]) for name in arm.joints[:2])
    moving = list(subtree_bodies(model, first))
    geoms = np.flatnonzero(np.isin(model.geom_bodyid, moving) & (model.geom_contype != 0))
    kinematics.set(kinematics.home)
    if abs(kinematics.data.joint(arm.joints[0]).xaxis[2]) < VERTICAL_AXIS_COSINE:
        return geoms
    turning = ~np.isin(model.geom_bodyid[geoms], list(subtree_bodies(model, second)))
    return geoms[~turning | (lowest_points(kinematics, geoms) >= MIN_GEOM_HEIGHT_M)]


def lowest_points(kinematics: Kinematics, geoms: np.ndarray) -> np.ndarray:
    """(G,) m: the lowest height of the boxes around geoms (G,), where the scratch arm stands."""
    boxes, down = kinematics.model.geom_aabb[geoms], kinematics.data.geom_xmat[geoms, 6:]
    return kinematics.data.geom_xpos[geoms, 2] + (down * boxes[:, :3] - np.abs(down) * boxes[:, 3:]).sum(axis=1)

"""Where a suction cup meets the top of an object."""

from __future__ import annotations

import numpy as np

from qwenarm.skills.failure import SkillFailure
from qwenarm.skills.heightmap import squared

MAX_SAG_M = 0.007
"""What lies under the lip may be so much lower than what lies under the middle, in m: the top of a ball of 40 mm is."""
LIP_WIDTH_M = 0.0030
"""Points this close to the circle of the lip, in m, are under it."""
PRESS_DEPTH_M = 0.0015
"""Depth by which the cup is pressed on, in m."""


def cup_contact(points: np.ndarray, center: np.ndarray, radius: float) -> float:
    """Returns the height of the cup, in m, at which its lip touches a surface all around and is pressed on.

    Args:
        points: (N, 3) of the surface, in m.
        center: (2,) where the middle of the cup comes down, in m.
        radius: Radius of the lip, in m.

    Raises:
        SkillFailure: The surface is not flat enough.
    """
    away = np.sqrt(squared(points, center))
    under = points[away < radius + LIP_WIDTH_M, 2]
    rim = points[np.abs(away - radius) < LIP_WIDTH_M, 2]
    if not len(rim) or float(np.ptp(under)) > MAX_SAG_M:
        raise SkillFailure(f"the suction cup needs a flat top, {2000 * radius:.0f} mm wide")
    return float(np.median(rim)) - PRESS_DEPTH_M

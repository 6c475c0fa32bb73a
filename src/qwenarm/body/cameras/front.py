"""From the front and above, with the whole workspace in the picture. Left and right mean its left and right."""

import math

from qwenarm.body.cameras.geometry import WORKSPACE_MIDDLE, Camera

ELEVATION_RAD, DISTANCE_M = math.radians(50.0), 1.05
MIDDLE_X_M, MIDDLE_Y_M, _ = WORKSPACE_MIDDLE
CAMERA = Camera(
    "front",
    (MIDDLE_X_M + DISTANCE_M * math.cos(ELEVATION_RAD), MIDDLE_Y_M, DISTANCE_M * math.sin(ELEVATION_RAD)),
    WORKSPACE_MIDDLE,
    fovy_deg=29.0,
)

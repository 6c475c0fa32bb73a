"""From straight above the workspace; the skills measure depth with it."""

from qwenarm.body.cameras.geometry import WORKSPACE_MIDDLE, Camera

MIDDLE_X_M, MIDDLE_Y_M, _ = WORKSPACE_MIDDLE
CAMERA = Camera("overhead", (MIDDLE_X_M, MIDDLE_Y_M, 1.20), WORKSPACE_MIDDLE, fovy_deg=29.0, up=(-1.0, 0.0, 0.0))

"""From straight above the workspace; the skills measure depth with it."""

from qwenarm.body.cameras.geometry import WORKSPACE_MIDDLE, Camera

X, Y, _ = WORKSPACE_MIDDLE
CAMERA = Camera("overhead", (X, Y, 1.20), WORKSPACE_MIDDLE, fovy_deg=29.0, up=(-1.0, 0.0, 0.0))

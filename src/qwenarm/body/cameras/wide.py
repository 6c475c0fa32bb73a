"""Robot and table from the side, for people: films are taken with it."""

from qwenarm.body.cameras.geometry import Camera

CAMERA = Camera("wide", (1.45, 0.95, 0.85), (0.30, 0.0, 0.27), fovy_deg=40.0)

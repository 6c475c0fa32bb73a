"""On the hand, looking at what is between the fingers."""

from qwenarm.body.cameras.geometry import Camera

CAMERA = Camera("wrist", (0.085, 0.0, 0.045), (0.03, 0.0, 0.17), fovy_deg=65.0, body="hand", up=(1.0, 0.0, 0.0))

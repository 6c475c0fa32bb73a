"""What makes an open box a drawer: a cabinet around it, a slide, and a knob on its front.

Everything is along x, away from the robot. The drawer comes out so far that a gap is left between it and the cabinet:
for the skills, which see heights, it is a container like any other then.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco

BOX, CYLINDER = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
SHUT_X = 0.290
"""Where the middle of every drawer is when it is shut, m."""
TRAVEL = 0.160
"""How far it comes out, m."""
LIFTED = 0.001
"""Room between the drawer and the table, m."""
KNOB_RADIUS, KNOB_TOP = 0.013, 0.094
"""m; the top is over the table."""
KNOB_RGBA = (0.15, 0.15, 0.16, 1.0)
TOP, BOARD, ROOM = 0.072, 0.006, 0.004
"""Of the cabinet: its height, the thickness of its boards, and the room around the drawer, m."""
FRONT = 0.035
"""The drawer's front stands this far out of the cabinet when it is shut, m: there the hand finds the knob."""
SHADE = 0.6
"""How dark the cabinet is, beside the drawer."""


def knob_of(x: float, half: float) -> float:
    """x of the knob, m, of a drawer whose middle is at x and whose half width is ``half``."""
    return x + half - KNOB_RADIUS


def add_drawer(world: mujoco.MjsBody, body: mujoco.MjsBody, half: float, height: float, rgba: Sequence[float]) -> None:
    """Gives a body that is an open box its slide and its knob, and the world its cabinet. half: its width, m.

    The body's place tells how far it is open at the start: its x beyond SHUT_X.
    """
    x, y, _ = body.pos
    opened = float(x) - SHUT_X
    body.add_joint(
        name=body.name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[1, 0, 0], range=[-opened, TRAVEL - opened],
        limited=mujoco.mjtLimited.mjLIMITED_TRUE, damping=8.0, frictionloss=1.0, armature=0.1,
    )  # fmt: skip
    dark = [*(SHADE * c for c in rgba[:3]), 1.0]
    reach = (KNOB_TOP - LIFTED - height) / 2
    body.add_geom(
        type=CYLINDER, pos=[knob_of(0.0, half), 0, height + reach], size=[KNOB_RADIUS, reach, 0], rgba=KNOB_RGBA,
        friction=[1.0, 0.01, 0.001], condim=4, solref=[0.01, 1],
    )  # fmt: skip
    wide, back, front = half + ROOM, SHUT_X - half - ROOM, SHUT_X + half - FRONT
    middle, depth = (front + back) / 2, (front - back) / 2
    for pos, size in (
        ([middle, y, TOP - BOARD / 2], [depth, wide + BOARD, BOARD / 2]),
        ([middle, y - wide - BOARD / 2, TOP / 2], [depth, BOARD / 2, TOP / 2]),
        ([middle, y + wide + BOARD / 2, TOP / 2], [depth, BOARD / 2, TOP / 2]),
        ([back - BOARD / 2, y, TOP / 2], [BOARD / 2, wide + BOARD, TOP / 2]),
    ):
        world.add_geom(type=BOX, pos=pos, size=size, rgba=dark, friction=[1.0, 0.01, 0.001], solref=[0.01, 1])

"""What makes an open box a drawer: a cabinet around it, a slide, and a knob on its front.

Everything is along x, away from the robot. The drawer comes out so far that a gap is left between it and the cabinet:
for the skills, which see heights, it is a container like any other then.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco

BOX_GEOM, CYLINDER_GEOM = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
CLOSED_DRAWER_X_M = 0.290
"""Where the middle of every drawer is when it is shut, m."""
DRAWER_TRAVEL_M = 0.160
"""How far it comes out, m."""
DRAWER_TABLE_GAP_M = 0.001
"""Room between the drawer and the table, m."""
KNOB_RADIUS_M, KNOB_TOP_M = 0.013, 0.094
"""m; the top is over the table."""
KNOB_RGBA = (0.15, 0.15, 0.16, 1.0)
CABINET_HEIGHT_M, BOARD_THICKNESS_M, DRAWER_CLEARANCE_M = 0.072, 0.006, 0.004
"""Of the cabinet: its height, the thickness of its boards, and the room around the drawer, m."""
FRONT_OVERHANG_M = 0.035
"""The drawer's front stands this far out of the cabinet when it is shut, m: there the hand finds the knob."""
CABINET_SHADE = 0.6
"""How dark the cabinet is, beside the drawer."""


def knob_x(x: float, half: float) -> float:
    """x of the knob, m, of a drawer whose middle is at x and whose half width is ``half``."""
    return x + half - KNOB_RADIUS_M


def add_drawer(world: mujoco.MjsBody, body: mujoco.MjsBody, half: float, height: float, rgba: Sequence[float]) -> None:
    """Gives a body that is an open box its slide and its knob, and the world its cabinet. half: its width, m.

    The body's place tells how far it is open at the start: its x beyond CLOSED_DRAWER_X_M.
    """
    x, y, _ = body.pos
    opened = float(x) - CLOSED_DRAWER_X_M
    body.add_joint(
        name=body.name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[1, 0, 0], range=[-opened, DRAWER_TRAVEL_M - opened],
        limited=mujoco.mjtLimited.mjLIMITED_TRUE, damping=8.0, frictionloss=1.0, armature=0.1,
    )  # fmt: skip
    dark = [*(CABINET_SHADE * c for c in rgba[:3]), 1.0]
    reach = (KNOB_TOP_M - DRAWER_TABLE_GAP_M - height) / 2
    body.add_geom(
        type=CYLINDER_GEOM, pos=[knob_x(0.0, half), 0, height + reach], size=[KNOB_RADIUS_M, reach, 0], rgba=KNOB_RGBA,
        friction=[1.0, 0.01, 0.001], condim=4, solref=[0.01, 1],
    )  # fmt: skip
    wide, back, front = (
        half + DRAWER_CLEARANCE_M,
        CLOSED_DRAWER_X_M - half - DRAWER_CLEARANCE_M,
        CLOSED_DRAWER_X_M + half - FRONT_OVERHANG_M,
    )
    middle, depth = (front + back) / 2, (front - back) / 2
    for pos, size in (
        (
            [middle, y, CABINET_HEIGHT_M - BOARD_THICKNESS_M / 2],
            [depth, wide + BOARD_THICKNESS_M, BOARD_THICKNESS_M / 2],
        ),
        (
            [middle, y - wide - BOARD_THICKNESS_M / 2, CABINET_HEIGHT_M / 2],
            [depth, BOARD_THICKNESS_M / 2, CABINET_HEIGHT_M / 2],
        ),
        (
            [middle, y + wide + BOARD_THICKNESS_M / 2, CABINET_HEIGHT_M / 2],
            [depth, BOARD_THICKNESS_M / 2, CABINET_HEIGHT_M / 2],
        ),
        (
            [back - BOARD_THICKNESS_M / 2, y, CABINET_HEIGHT_M / 2],
            [BOARD_THICKNESS_M / 2, wide + BOARD_THICKNESS_M, CABINET_HEIGHT_M / 2],
        ),
    ):
        world.add_geom(type=BOX_GEOM, pos=pos, size=size, rgba=dark, friction=[1.0, 0.01, 0.001], solref=[0.01, 1])

"""Turns an open box into a drawer, with a cabinet around it, a slide, and a knob on its front.

The drawer slides along x, away from the robot. It comes out so far that a gap opens between it and the cabinet. The
skills, which see heights, then take it for a container like any other.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco

from qwenarm.body.objects.spec import PLAIN_CONTACT

BOX_GEOM, CYLINDER_GEOM = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
CLOSED_DRAWER_X_M = 0.290
"""x of the middle of a closed drawer, in m."""
DRAWER_TRAVEL_M = 0.160
"""Distance by which it opens, in m."""
DRAWER_TABLE_GAP_M = 0.001
"""Gap between the drawer and the table, in m."""
KNOB_RADIUS_M, KNOB_TOP_M = 0.013, 0.094
"""Radius of the knob, and height of its top above the table, in m."""
KNOB_RGBA = (0.15, 0.15, 0.16, 1.0)
CABINET_HEIGHT_M, BOARD_THICKNESS_M, DRAWER_CLEARANCE_M = 0.072, 0.006, 0.004
"""The cabinet's height, the thickness of its boards, and the gap around the drawer, in m."""
FRONT_OVERHANG_M = 0.035
"""Distance by which a closed drawer's front stands out of the cabinet, in m, so that the hand finds the knob."""
CABINET_BRIGHTNESS_RATIO = 0.6
"""Brightness of the cabinet relative to the drawer."""


def knob_x(x: float, half: float) -> float:
    """Returns the knob's x in m, for a drawer whose middle is at ``x`` and whose half width is ``half``."""
    return x + half - KNOB_RADIUS_M


def add_drawer(world: mujoco.MjsBody, body: mujoco.MjsBody, half: float, height: float, rgba: Sequence[float]) -> None:
    """Adds slide and knob to an open box ``body`` of half width ``half`` in m, and the cabinet to ``world``.

    The body's x determines how far it is open at the start: CLOSED_DRAWER_X_M if it is closed.
    """
    x, y, _ = body.pos
    opened = float(x) - CLOSED_DRAWER_X_M
    body.add_joint(
        name=body.name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[1, 0, 0], range=[-opened, DRAWER_TRAVEL_M - opened],
        limited=mujoco.mjtLimited.mjLIMITED_TRUE, damping=8.0, frictionloss=1.0, armature=0.1,
    )  # fmt: skip
    dark = [*(CABINET_BRIGHTNESS_RATIO * c for c in rgba[:3]), 1.0]
    reach = (KNOB_TOP_M - DRAWER_TABLE_GAP_M - height) / 2
    body.add_geom(
        type=CYLINDER_GEOM, pos=[knob_x(0.0, half), 0, height + reach], size=[KNOB_RADIUS_M, reach, 0], rgba=KNOB_RGBA,
        condim=4, **PLAIN_CONTACT,
    )  # fmt: skip
    back = CLOSED_DRAWER_X_M - half - DRAWER_CLEARANCE_M
    front = CLOSED_DRAWER_X_M + half - FRONT_OVERHANG_M
    middle, depth, wide = (front + back) / 2, (front - back) / 2, half + DRAWER_CLEARANCE_M
    thin, tall = BOARD_THICKNESS_M / 2, CABINET_HEIGHT_M / 2
    for pos, size in (  # the top, both sides and the back
        ([middle, y, CABINET_HEIGHT_M - thin], [depth, wide + BOARD_THICKNESS_M, thin]),
        ([middle, y - wide - thin, tall], [depth, thin, tall]),
        ([middle, y + wide + thin, tall], [depth, thin, tall]),
        ([back - thin, y, tall], [thin, wide + BOARD_THICKNESS_M, tall]),
    ):
        world.add_geom(type=BOX_GEOM, pos=pos, size=size, rgba=dark, **PLAIN_CONTACT)

"""The UR5e-like arm of ``ur5e.py`` with a suction cup in place of fingers.

The cup: 24 mm wide, of which 0.6 bar below ambient pressure make 27 N (lip area 4.5 cm2); half of that is what makers
count on (a safety factor of 2 for horizontal surfaces). Vacuum comes and goes in 0.1 s.
"""

from __future__ import annotations

from dataclasses import replace

import mujoco

from qwenarm.body.arms import ur5e
from qwenarm.body.arms.parts import WRIST_GROUP, Link, add_cup, add_tcp
from qwenarm.body.grippers import SuctionCup

SUCTION_CUP = SuctionCup(max_gap=0.024, speed=0.24)
HOLDING_FORCE_N = 13.5
BELLOWS_LENGTH_M = 0.030
RECESS_M = 0.005
"""What a rounded top may rise above the lip before it touches the middle of the cup, m."""
RUBBER_RGB = (0.75, 0.22, 0.16)


def build(spec: mujoco.MjSpec) -> None:
    """Adds the whole arm, base at the origin."""
    flange = ur5e.build_links(spec)
    hand = flange.add_body(name="hand")
    _shape_hand(Link(hand, WRIST_GROUP))
    add_tcp(hand, ur5e.TCP_OFFSET_M)
    add_cup(spec, hand, SUCTION_CUP, ur5e.TCP_OFFSET_M, HOLDING_FORCE_N, RUBBER_RGB)


def _shape_hand(link: Link) -> None:
    """A coupling, the vacuum ejector with its silencer and hose, a stem and the bellows."""
    lip = ur5e.TCP_OFFSET_M
    top = lip - BELLOWS_LENGTH_M
    link.cylinder((0, 0, 0), (0, 0, 0.014), 0.0375, ur5e.DARK_RGB, shown=True)
    link.box((0, 0, 0.044), (0.028, 0.030, 0.030), ur5e.SHELL_RGB, mass=0.50)
    link.box((0, 0.031, 0.044), (0.020, 0.002, 0.018), ur5e.DARK_RGB, shown=True)
    link.cylinder((0.028, 0, 0.044), (0.046, 0, 0.044), 0.008, ur5e.SEAM_RGB, shown=True)
    link.cylinder((0, 0, 0.074), (0, 0, top), 0.0100, ur5e.SHELL_RGB)
    for i in range(3):
        z = top + 0.004 + 0.008 * i
        link.cylinder((0, 0, z - 0.003), (0, 0, z + 0.003), 0.0115, RUBBER_RGB, shown=True)
    link.cylinder((0, 0, top), (0, 0, lip - RECESS_M), 0.0085, RUBBER_RGB)


ARM = replace(
    ur5e.ARM,
    name="ur5e_suction",
    doc="UR5e-like, 6 joints, suction cup of 24 mm that holds 13 N; primitive shapes.",
    build=build,
    gripper=SUCTION_CUP,
)

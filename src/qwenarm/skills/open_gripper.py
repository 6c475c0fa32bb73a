"""Let go."""

from __future__ import annotations

from qwenarm.body.simulation import Body
from qwenarm.skills._failure import Motion
from qwenarm.skills._motion import go_home, set_fingers
from qwenarm.skills._skill import skill
from qwenarm.types import SkillResult


def open_gripper(body: Body) -> Motion:
    """Open the hand where it is; what it holds falls."""
    yield from set_fingers(body, body.arm.max_gap)
    yield from go_home(body)
    return SkillResult(True)


SKILL = skill(open_gripper)

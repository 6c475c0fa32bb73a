"""Let go."""

from __future__ import annotations

from qwenarm.body.simulation import Body
from qwenarm.skills.failure import Motion
from qwenarm.skills.motion import go_home, set_fingers
from qwenarm.skills.skill import skill
from qwenarm.types import SkillResult


def open_gripper(body: Body) -> Motion:
    """Open the hand where it is; what it holds falls."""
    yield from set_fingers(body, body.arm.max_gap)
    yield from go_home(body)
    return SkillResult(True)


SKILL = skill(open_gripper)

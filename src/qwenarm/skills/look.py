"""Look again."""

from __future__ import annotations

from qwenarm.body.simulation import Body
from qwenarm.skills.failure import Motion
from qwenarm.skills.motion import go_home, wait
from qwenarm.skills.skill import skill
from qwenarm.types import SkillResult

SETTLE_TIME_S = 0.5
"""Time for moving objects to come to rest, in s."""


def look(body: Body) -> Motion:
    """Take the arm out of the picture and look again."""
    yield from go_home(body)
    yield from wait(body, SETTLE_TIME_S)
    return SkillResult(True)


SKILL = skill(look)

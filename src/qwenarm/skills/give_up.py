"""End the episode without fulfilling the task."""

from __future__ import annotations

from qwenarm.body.simulation import Body
from qwenarm.skills.failure import Motion
from qwenarm.skills.skill import skill
from qwenarm.types import SkillCall, SkillResult


def give_up(body: Body, reason: str) -> Motion:
    """Stop, because the task cannot be done.

    reason: why
    """
    body.said.append(SkillCall("give_up", {"reason": reason}))
    yield from ()
    return SkillResult(True, reason)


SKILL = skill(give_up)

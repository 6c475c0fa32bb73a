"""End the episode: the task is fulfilled."""

from __future__ import annotations

from qwenarm.body.simulation import Body
from qwenarm.skills.failure import Motion
from qwenarm.skills.skill import skill
from qwenarm.types import SkillCall, SkillResult


def done(body: Body) -> Motion:
    """Stop, because the task is fulfilled."""
    body.said.append(SkillCall("done"))
    yield from ()
    return SkillResult(True)


SKILL = skill(done)

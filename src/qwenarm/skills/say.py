"""Say something to the people."""

from __future__ import annotations

from qwenarm.body.simulation import Body
from qwenarm.skills.failure import Motion
from qwenarm.skills.skill import skill
from qwenarm.types import SkillCall, SkillResult


def say(body: Body, text: str) -> Motion:
    """Tell the people something.

    text: what to say
    """
    body.said.append(SkillCall("say", {"text": text}))
    yield from ()
    return SkillResult(True, text)


SKILL = skill(say)

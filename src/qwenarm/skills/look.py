"""Look again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwenarm.skills._motion import go_home, wait
from qwenarm.skills._skill import Motion, skill
from qwenarm.types import SkillResult

if TYPE_CHECKING:
    from qwenarm.body.body import Body


def look(body: Body) -> Motion:
    """Take the arm out of the picture and look again."""
    yield from go_home(body)
    yield from wait(body, 0.5)
    return SkillResult(True)


SKILL = skill(look)

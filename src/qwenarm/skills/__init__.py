"""What the arm can do when it is told to: one file a skill. ``run`` is the only way in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwenarm.registry import list_names, load
from qwenarm.types import SkillCall, SkillSpec

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body
    from qwenarm.skills.failure import Motion


def specs() -> tuple[SkillSpec, ...]:
    """All skills as a model is told of them, in alphabetical order."""
    return tuple(load("skills", name).spec for name in list_names("skills"))


def run(body: Body, call: SkillCall) -> Motion:
    """The motion of one call: yields Controls for ``body.step``, returns a SkillResult.

    What cannot be done, wrong arguments included, is a failed result with the reason. Raises UnknownName for a skill
    that does not exist.
    """
    return load("skills", call.name).run(body, call)

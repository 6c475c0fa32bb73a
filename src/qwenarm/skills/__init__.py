"""What the arm can do on command: one file per skill. ``run`` is the only entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwenarm.registry import list_names, load
from qwenarm.types import SkillCall, SkillSpec

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body
    from qwenarm.skills.failure import Motion


def specs() -> tuple[SkillSpec, ...]:
    """Returns what a model is told about each skill, in alphabetical order."""
    return tuple(load("skills", name).spec for name in list_names("skills"))


def run(body: Body, call: SkillCall) -> Motion:
    """Carries out one call: yields Controls for ``body.step`` and returns a SkillResult.

    A call that cannot be carried out, for example one with wrong arguments, ends in a failed result with the reason.
    Raises UnknownName for a skill that does not exist.
    """
    return load("skills", call.name).run(body, call)

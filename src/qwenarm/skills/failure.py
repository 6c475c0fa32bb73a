"""How a skill moves and how it fails: the types that every skill and its helpers share."""

from __future__ import annotations

from collections.abc import Generator

from qwenarm.types import Control, SkillResult

Motion = Generator[Control, None, SkillResult]
Moves = Generator[Control, None, None]


class SkillFailure(Exception):
    """Ends a skill; the message is the reason, in words that a model can act on."""

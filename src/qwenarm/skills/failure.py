"""Types that all skills and their helpers share: how a skill moves and how it fails."""

from __future__ import annotations

from collections.abc import Generator

from qwenarm.types import Control, SkillResult

Motion = Generator[Control, None, SkillResult]
Moves = Generator[Control, None, None]


class SkillFailure(Exception):
    """Ends a skill. The message gives the reason in words that a model can act on."""

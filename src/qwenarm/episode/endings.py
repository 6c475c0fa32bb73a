"""Which calls end an episode."""

from __future__ import annotations

from collections.abc import Sequence

from qwenarm.types import Decision, Outcome, SkillResult

ENDING_SKILL_OUTCOMES = {"done": Outcome.FAILURE, "give_up": Outcome.GAVE_UP}
"""Calls that end an episode, with the outcome if the goal does not hold."""


def is_ended(decision: Decision, results: Sequence[SkillResult]) -> bool:
    """Whether the last call of a turn ends the episode."""
    return bool(results) and results[-1].ok and decision.calls[len(results) - 1].name in ENDING_SKILL_OUTCOMES

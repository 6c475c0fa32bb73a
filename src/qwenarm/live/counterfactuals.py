"""Why did it fail? The same seed again, with one part of the agent replaced, and one sentence about what that shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qwenarm.diagnosis.find_cause import Finding, play_replaced
from qwenarm.diagnosis.oracle_replacements import (
    AGENT_MODULES,
    CONTROL_MODULE,
    PERCEPTION_MODULE,
    PLAN_MODULE,
    TIME_MODULE,
    ModuleNotes,
)
from qwenarm.diagnosis.workers import case_of
from qwenarm.episode.watchers import Watcher
from qwenarm.errors import BadInput, UnknownName
from qwenarm.factory import perform
from qwenarm.live.interventions import took_part
from qwenarm.policies import policy_entry
from qwenarm.types import Episode, Outcome

if TYPE_CHECKING:
    from qwenarm.episode.rollout import Play
    from qwenarm.mind.backends import Backend


@dataclass(frozen=True)
class ReplacedPart:
    """A part of the agent that can be replaced.

    Attributes:
        failed: What has failed if the replacement helps.
        module: The module that the oracle replaces; "" for a policy that is told less.
        policy: That policy.
    """

    failed: str
    module: str = ""
    policy: str = ""


REPLACEABLE_PARTS = {
    "eyes shut": ReplacedPart("the pictures", policy="blind"),
    "wrong words": ReplacedPart("the words", policy="wrong_words"),
    "oracle's eyes": ReplacedPart("what it saw", PERCEPTION_MODULE),
    "oracle's plan": ReplacedPart("what it decided to do", PLAN_MODULE),
    "ideal hands": ReplacedPart("how the skills moved", CONTROL_MODULE),
    "more time": ReplacedPart("the time that it had", TIME_MODULE),
}


def replay_with(
    part: str, episode: Episode, backend: Backend | None, watchers: Sequence[Watcher]
) -> tuple[Play, ModuleNotes]:
    """The same episode with one part replaced.

    Args:
        part: One of REPLACEABLE_PARTS.
        episode: What was played.
        backend: Its model.
        watchers: Told of every event.

    Returns:
        The episode to be played, and what is noted meanwhile.

    Raises:
        UnknownName: There is no such part.
        BadInput: The episode's policy has no such part.
    """
    if part not in REPLACEABLE_PARTS:
        raise UnknownName("part", part, REPLACEABLE_PARTS)
    chosen, notes, config = REPLACEABLE_PARTS[part], ModuleNotes(), episode.run.config
    if not chosen.policy:
        return play_replaced(case_of(episode, backend), frozenset({chosen.module}), notes, {}, watchers), notes
    if not policy_entry(config.policy).needs_model:
        raise BadInput(f"{part!r} needs a policy that asks a model, and {config.policy!r} asks none.")
    return perform(replace(config, policy=chosen.policy), episode.seed, backend, watchers), notes


def verdict(part: str, before: Episode, after: Episode, notes: ModuleNotes) -> str:
    """What the comparison shows, in one sentence or two."""
    chosen, ended = REPLACEABLE_PARTS[part], _ended(after)
    lesser = bool(chosen.policy)
    if after.outcome is Outcome.CRASHED:
        return f"With {part} it could not be played to its end, so this shows nothing."
    if before.outcome is Outcome.STOPPED:
        return f"With {part} it {ended}. How it would have ended without is not known: it was stopped."
    if took_part(before):
        return (
            f"With {part}, and without what visitors did before, it {ended}: this tells nothing about {chosen.failed}."
        )
    if before.outcome is Outcome.SUCCESS:
        if after.outcome is not Outcome.SUCCESS:
            return f"With {part} it {ended}: {chosen.failed} mattered."
        return f"With {part} it succeeds as well: " + (
            f"this success owes nothing to {chosen.failed}." if lesser else f"nothing was wrong with {chosen.failed}."
        )
    if after.outcome is Outcome.SUCCESS:
        if lesser:
            return f"With {part} it succeeds: {chosen.failed} misled it."
        noted = next(iter(notes.by_module.get(chosen.module, ())), "")
        return f"With {part} it succeeds: what failed was {chosen.failed}" + (f" ({noted})." if noted else ".")
    return f"With {part} it {ended} as well: {chosen.failed} alone did not decide it."


def models_verdict(before: Episode, after: Episode) -> str:
    """How two models ended at the same seed, in two sentences."""
    one, other = (f"{each.run.config.model} {_ended(each)}" for each in (before, after))
    if before.outcome is Outcome.STOPPED or took_part(before):
        return f"Here {other}. The first run was stopped or changed by visitors, so this compares nothing."
    also = " as well" if before.outcome is after.outcome else ""
    return f"At this seed {one}, and {other}{also}. Only many seeds compare two models."


def finding_text(finding: Finding) -> str:
    """The attribution of a failure, in one sentence or two."""
    tried, why = len(finding.tried), _sentence(finding.why)
    cause, both = finding.cause.replace("+", " and "), "+" in finding.cause
    if cause in AGENT_MODULES or both:
        others = " or ".join(each.replace("+", " with ") for each in finding.also)
        also = f" (so would {others})" if others else ""
        replacing = f"{cause} together. Replacing both, but neither alone," if both else f"{cause}. Replacing it"
        return f"Cause: {replacing} turns failure into success{also}. {why}".strip()
    return f"Cause: {finding.cause}, after {tried} replays. {why}".strip()


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].removesuffix('.')}." if text else ""


def _ended(episode: Episode) -> str:
    words = {Outcome.SUCCESS: "succeeds", Outcome.GAVE_UP: "gives up", Outcome.UNJUDGED: "cannot be judged"}
    return words.get(episode.outcome, f"ends as {episode.outcome}" if episode.outcome != "failure" else "fails")

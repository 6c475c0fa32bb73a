"""Repeats recorded calls without a model, and checks that the world ends in the same state, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwenarm.body.rendering.renderer import choose_renderer
from qwenarm.episode.clock import Clock, parse_clock
from qwenarm.episode.rollout import execute, settle
from qwenarm.episode.versions import versions
from qwenarm.episode.watchers import Tell, Watcher
from qwenarm.types import Episode, Outcome, Turn

if TYPE_CHECKING:
    from qwenarm.env import ArmEnv


@dataclass(frozen=True)
class Replayed:
    """The result of a replay.

    Attributes:
        same: Whether the final hash is the same.
        final_hash: Of the replayed world.
        differences: One sentence per call whose result differs from the recorded one, and for an instruction or an
            outcome that does not fit the world.
        changes: What has changed since the recording (versions, renderer, machine) and may explain the differences.
    """

    same: bool
    final_hash: str
    differences: tuple[str, ...]
    changes: tuple[str, ...]


def replay(env: ArmEnv, episode: Episode, watchers: Sequence[Watcher] = ()) -> Replayed:
    """Executes an episode's calls in an environment made like the recorded one, and compares the final hash.

    Equal bits are promised on the same machine with the same versions and renderer: skills read depth images, and
    renderers differ in the last digits.
    """
    tell = Tell(env, watchers)
    env.reset(seed=episode.seed)
    tell("started", env, "replay", episode.seed)
    clock = parse_clock(episode.run.config.clock)
    differences = list(_other_instruction(env, episode))
    differences += [line for turn in episode.turns for line in _repeat(env, episode, turn, tell, clock)]
    if episode.outcome is Outcome.CRASHED:
        _crash_again(env, episode, tell)
    elif episode.outcome is not Outcome.STOPPED:
        settle(env.body)
        differences += _other_outcome(env, episode)
    tell("finished", episode)
    final_hash = env.body.final_hash()
    return Replayed(final_hash == episode.final_hash, final_hash, tuple(differences), tuple(_changes(episode)))


def _other_instruction(env: ArmEnv, episode: Episode) -> Iterator[str]:
    began = episode.turns[0].observation.instruction if episode.turns else episode.instruction
    if began != env.instruction:
        yield f"The instruction is {env.instruction!r}, and {began!r} is recorded."


def _other_outcome(env: ArmEnv, episode: Episode) -> Iterator[str]:
    """The goal is asked again: what is recorded may have been changed, or judged by another version."""
    if env.setup.goal is None:
        return
    held, recorded = bool(env.setup.goal.success(env.body.state())), episode.outcome is Outcome.SUCCESS
    if held != recorded:
        yield f"The goal {'holds' if held else 'does not hold'} in the end, and {episode.outcome!s} is recorded."


def _changes(episode: Episode) -> Iterator[str]:
    now = {"renderer": choose_renderer(), **versions()}
    then = {"renderer": episode.run.renderer, **episode.run.versions}
    for name, value in then.items():
        if (
            name in now and now[name] != value and name not in ("torch", "transformers")
        ):  # these do not affect the world
            yield f"{name}: {now[name]} instead of {value}"


def _repeat(env: ArmEnv, episode: Episode, turn: Turn, tell: Tell, clock: Clock) -> list[str]:
    """Executes the calls that were executed in a turn. Returns how their results differ."""
    differences = []
    tell("looked", turn.observation)
    tell("decided", turn.observation, turn.decision, sum(completion.seconds for completion in turn.completions))
    thinking = clock.thinking_periods(turn.completions, episode.turns[: turn.index])
    clock.run_on(env.body, thinking - turn.decision.delay_periods, tell)
    for call, recorded in zip(turn.decision.calls, turn.results, strict=False):
        tell("calling", call)
        result = execute(env.body, call, tell)
        tell("called", call, result)
        if result != recorded:
            differences.append(f"turn {turn.index + 1}, {call.name}: {result} instead of {recorded}")
    tell("turned", turn)
    return differences


def _crash_again(env: ArmEnv, episode: Episode, tell: Tell) -> None:
    """Repeats the call in which the episode crashed: it has no result, but it may have moved objects first."""
    last = episode.turns[-1] if episode.turns else None
    if last is None or len(last.decision.calls) <= len(last.results):
        return
    try:
        execute(env.body, last.decision.calls[len(last.results)], tell)
    except Exception as error:
        tell.failures.append(f"crashed again, as recorded: {type(error).__name__}: {error}")

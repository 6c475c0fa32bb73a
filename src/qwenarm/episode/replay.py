"""Repeats recorded calls without a model, and checks that the world ends in the same state, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwenarm.body.rendering.renderer import choose_renderer
from qwenarm.body.safety import CONTROL_PERIOD_S
from qwenarm.episode.clock import Clock, parse_clock
from qwenarm.episode.rollout import execute, judge_end, settle
from qwenarm.episode.versions import versions_with
from qwenarm.episode.watchers import Tell, Watcher
from qwenarm.types import Episode, Outcome, SkillCall, Turn

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body
    from qwenarm.env import ArmEnv

TIME_TOLERANCE_S = 1e-6
"""Times that differ by less than this, in s, are the same: physics adds up steps of 2 ms."""


@dataclass(frozen=True)
class Replayed:
    """The result of a replay.

    Attributes:
        same: Whether the final hash is the same, as far as it can be (see ``stopped``).
        final_hash: The final hash of the replayed world.
        differences: One sentence per call whose result differs from the recorded one, and for an instruction, an
            outcome or a progress that does not fit the world.
        changes: What has changed since the recording (versions, renderer, machine, the arm's file) and may explain the
            differences.
        stopped: Where the recorded episode was stopped and the replay ends, or "". If that was in the middle of a
            control period, the final states are not compared.
        failures: One sentence for each watcher, such as a film, that failed.
    """

    same: bool
    final_hash: str
    differences: tuple[str, ...]
    changes: tuple[str, ...]
    stopped: str = ""
    failures: tuple[str, ...] = ()


def replay(env: ArmEnv, episode: Episode, watchers: Sequence[Watcher] = ()) -> Replayed:
    """Executes an episode's calls in an environment made like the recorded one, and compares the final hash.

    Equal bits are promised on the same machine with the same versions and renderer: skills read depth images, and
    renderers differ in the last digits.
    """
    tell = Tell(env, watchers)
    env.reset(seed=episode.seed)
    tell("started", env, "replay", episode.seed)
    clock, stop_s = parse_clock(episode.run.config.clock), env.body.time_s + sum(t.sim_time_s for t in episode.turns)
    differences = list(_other_instruction(env, episode))
    differences += [line for turn in episode.turns for line in _repeat(env, episode, turn, tell, clock)]
    if episode.outcome is Outcome.CRASHED:
        _crash_again(env, episode, tell)
    elif episode.outcome is Outcome.STOPPED:
        _play_until(env, episode, tell, stop_s)
    else:
        settle(env.body)
        differences += _other_verdict(env, episode)
    tell("finished", episode)
    final_hash, stopped = env.body.final_hash(), ""
    same = final_hash == episode.final_hash
    if episode.outcome is Outcome.STOPPED:
        stopped = f"It was stopped in turn {len(episode.turns)}, and is repeated up to there."
        if not same and abs(env.body.time_s - stop_s) > TIME_TOLERANCE_S:
            same, stopped = True, f"{stopped} That was between two control steps: the final states are not compared."
    return Replayed(same, final_hash, tuple(differences), tuple(_changes(episode)), stopped, tuple(tell.failures))


def _other_instruction(env: ArmEnv, episode: Episode) -> Iterator[str]:
    began = episode.turns[0].observation.instruction if episode.turns else episode.instruction
    if began != env.instruction:
        yield f"The instruction is {env.instruction!r}, and {began!r} is recorded."


def _other_verdict(env: ArmEnv, episode: Episode) -> Iterator[str]:
    """The goal is asked again: what is recorded may have been changed, or judged by another version."""
    outcome, progress = judge_end(env, episode.turns, bool(episode.run.config.words))
    if outcome is not episode.outcome:
        yield f"The outcome is {outcome}, and {episode.outcome} is recorded."
    if progress != episode.progress:
        yield f"The progress is {progress:.3g}, and {episode.progress:.3g} is recorded."


def _changes(episode: Episode) -> Iterator[str]:
    now = {"renderer": choose_renderer(), **versions_with(episode.run.config.arm)}
    then = {"renderer": episode.run.renderer, **episode.run.versions}
    for name, value in then.items():
        affects_world = name not in ("torch", "transformers")
        if affects_world and name in now and now[name] != value:
            yield f"{name}: {now[name]} instead of {value}"


def _repeat(env: ArmEnv, episode: Episode, turn: Turn, tell: Tell, clock: Clock) -> list[str]:
    """Executes the calls that were executed in a turn. Returns how their results differ."""
    differences = []
    tell("looked", turn.observation)
    tell("decided", turn.observation, turn.decision, sum(completion.seconds for completion in turn.completions))
    delay = max(0, turn.decision.delay_periods)
    thinking = clock.thinking_periods(turn.completions, episode.turns[: turn.index]) - delay
    until_stop = math.ceil(round(turn.sim_time_s / CONTROL_PERIOD_S, 6))  # less if it was stopped meanwhile
    clock.run_on(env.body, min(thinking, until_stop), tell)
    for call, recorded in zip(turn.decision.calls, turn.results, strict=False):
        tell("calling", call)
        result = execute(env.body, call, tell)
        tell("called", call, result)
        if result != recorded:
            differences.append(f"turn {turn.index + 1}, {call.name}: {result} instead of {recorded}")
    tell("turned", turn)
    return differences


def _unfinished_calls(episode: Episode) -> Sequence[SkillCall]:
    """Returns the calls that have no result: in the first of them the episode ended, if it did so in a call."""
    last = episode.turns[-1] if episode.turns else None
    return last.decision.calls[len(last.results) :] if last else ()


def _play_until(env: ArmEnv, episode: Episode, tell: Tell, stop_s: float) -> None:
    """Repeats the call in which the episode was stopped, up to then."""
    calls = _unfinished_calls(episode)
    if not calls or env.body.time_s > stop_s - CONTROL_PERIOD_S / 2:
        return
    tell.watchers.append(_StopAt(stop_s))
    with suppress(_StopReached):
        execute(env.body, calls[0], tell)


class _StopReached(BaseException):
    """The replay has reached the time of the stop. Not an Exception, which Tell would take for a failed watcher."""


class _StopAt(Watcher):
    """Interrupts a replay at the control step nearest to a simulated time, in seconds."""

    def __init__(self, time_s: float) -> None:
        self.time_s = time_s

    def stepped(self, body: Body) -> None:
        if body.time_s > self.time_s - CONTROL_PERIOD_S / 2:
            raise _StopReached


def _crash_again(env: ArmEnv, episode: Episode, tell: Tell) -> None:
    """Repeats the call in which the episode crashed: it has no result, but it may have moved objects first."""
    calls = _unfinished_calls(episode)
    if not calls:
        return
    try:
        execute(env.body, calls[0], tell)
    except Exception as error:
        tell.failures.append(f"crashed again, as recorded: {type(error).__name__}: {error}")

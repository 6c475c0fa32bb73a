"""Play an episode: look, decide, act, look again; then the simulator judges. Body and mind meet only here.

``play`` is a generator: it yields the prompts of its policy and receives completions, so that ``drive.py`` can advance
many episodes in lockstep and ask a backend for all their prompts in one batch. Nothing here knows about films, pages or
terminals: those are watchers (``watchers.py``).
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from qwenarm.body.rendering.renderer import choose_renderer
from qwenarm.body.safety import CONTROL_PERIOD_S
from qwenarm.episode.clock import Clock, parse_clock
from qwenarm.episode.endings import ENDING_SKILL_OUTCOMES, is_ended
from qwenarm.episode.versions import versions_with
from qwenarm.episode.watchers import Stopwatch, Tell, Watcher
from qwenarm.errors import BadInput, MachineFailure, PromptFailed, machine_failure
from qwenarm.skills import run as run_skill
from qwenarm.tasks.core.goal import Measured, Setup
from qwenarm.tasks.core.side_effects import side_effects
from qwenarm.types import (
    Completion,
    Decision,
    Episode,
    Observation,
    Outcome,
    Prompt,
    RunInfo,
    SideEffect,
    SkillCall,
    SkillResult,
    Turn,
)

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body
    from qwenarm.env import ArmEnv
    from qwenarm.mind.vlm_policy import Policy

MAX_UNREADABLE_IN_A_ROW = 3
"""Number of consecutive unreadable answers that end an episode."""
MAX_SAME_FAILURES_IN_A_ROW = 3
"""Number of consecutive calls failing in the same way that end an episode for free words."""
SETTLE_S = 0.5
"""Simulated seconds for the world to come to rest before it is judged: a ball may still roll."""
STOPPED_DETAIL = "It was stopped with Ctrl-C."
UNFINISHED_OUTCOMES = (Outcome.CRASHED, Outcome.STOPPED)
"""Outcomes of episodes that were not judged in the end."""
UNDECIDED = Decision()
"""Stands in a turn until its decision is made. A policy's own decision to do nothing is another object."""

T = TypeVar("T")
Play = Generator[Prompt, Completion, Episode]
Act = Callable[["Body", SkillCall, Tell], SkillResult]


class Stopped(KeyboardInterrupt):
    """Ctrl-C during an episode. ``episode`` is what was played until then, as STOPPED."""

    def __init__(self, episode: Episode) -> None:
        super().__init__(STOPPED_DETAIL)
        self.episode = episode


class ModelFailed(Exception):
    """Thrown into an episode whose model cannot answer any more. The text says why."""


def play(
    env: ArmEnv,
    policy: Policy,
    run: RunInfo,
    watchers: Sequence[Watcher] = (),
    act: Act | None = None,
    setup: Setup | None = None,
) -> Play:
    """Plays one episode and returns it. Whatever goes wrong inside becomes an Outcome.

    Args:
        env: Made for ``run.config``. It is reset to ``run.seed``.
        policy: Makes the decisions.
        run: What is played. The rest of the record is filled in here.
        watchers: Notified of every event.
        act: Carries out calls instead of ``execute``.
        setup: The episode's setup if it has already been built.

    Raises:
        BadInput: There is no such clock.
        MachineFailure: Memory or disk ran out.
        Stopped: Ctrl-C after the first look, with what was played. Before that, the KeyboardInterrupt itself.
    """
    tell, turns, outcome, detail = Tell(env, watchers), list[Turn](), Outcome.OUT_OF_TURNS, ""
    clock, progress, stop, effects = parse_clock(run.config.clock), 0.0, None, tuple[SideEffect, ...]()
    try:
        run = replace(run, policy=dict(policy.describe()), cameras=tuple(policy.cameras))
        env.reset(seed=run.seed, options={"setup": setup})
        run, start = replace(run, read_as=env.setup.read_as), env.body.state()
        tell("started", env, policy.name, run.seed)
        while outcome is Outcome.OUT_OF_TURNS and _goes_on(env, turns):
            yield from _turn(env, policy, turns, tell, clock, act or execute)
            tell("turned", turns[-1])
            outcome = _ending(turns, bool(run.config.words))
        settle(env.body)
        outcome, progress = judge_end(env, turns, bool(run.config.words))
        detail = _detail(env, outcome, turns)
        run = replace(run, task_metrics=_task_metrics(env))
        if outcome is Outcome.SUCCESS and env.setup.goal is not None:
            effects = tuple(side_effects(env.setup.goal, start, env.body.state()))
    except (ModelFailed, PromptFailed) as error:
        outcome, detail = Outcome.CRASHED, str(error)
    except (Exception, SystemExit) as error:
        if failure := machine_failure(error):
            raise MachineFailure(f"{failure}: {env.task} {run.seed} was not played to its end.") from error
        outcome, detail = Outcome.CRASHED, traceback.format_exc()
    except KeyboardInterrupt as error:
        if not turns:
            raise
        if turns[-1].decision is UNDECIDED and not turns[-1].completions:  # it has only looked
            turns.pop()
        stop, outcome, detail = error, Outcome.STOPPED, str(error) or STOPPED_DETAIL
    if outcome in UNFINISHED_OUTCOMES:
        progress = turns[-1].progress if turns else 0.0
    has_world = hasattr(env, "setup") and hasattr(env, "body")  # a crash in reset may leave none
    run = replace(run, renderer=choose_renderer(), versions=versions_with(run.config.arm))
    if has_world:
        run = replace(run, metrics=tell.metrics(turns), seconds=tell.own_seconds())
    run = replace(run, watcher_failures=tuple(tell.failures))
    # the time that these frames take is not the episode's
    last_frames = observe(env, policy).frames if outcome not in UNFINISHED_OUTCOMES else ()
    words, final_hash = (env.setup.instruction, env.body.final_hash()) if has_world else ("", "")
    episode = Episode(run, words, tuple(turns), outcome, progress, final_hash, detail, last_frames, effects)
    if has_world:
        tell("finished", episode)
    if stop is not None:
        raise Stopped(episode) from stop
    return episode


def _turn(
    env: ArmEnv, policy: Policy, turns: list[Turn], tell: Tell, clock: Clock, act: Act
) -> Generator[Prompt, Completion, None]:
    """Looks, decides, and executes the calls until one fails. The turn is kept, whatever fails in it or around it."""
    body, watch, said = env.body, Stopwatch(tell), _Dialogue()
    began_s, clamps = body.time_s, Counter(body.clamps)
    obs = observe(env, policy)
    tell("looked", obs)
    decision, results = UNDECIDED, list[SkillResult]()
    try:
        decision = yield from _decide(policy.decide(obs, tuple(turns)), said, watch)
        decision = _checked(decision, Decision, f"The policy {policy.name}")
        tell("decided", obs, decision, said.seconds)
        clock.run_on(body, clock.thinking_periods(said.completions, turns) - decision.delay_periods, tell)
        for call in decision.calls:
            tell("calling", call)
            with watch.skill():
                results.append(act(body, call, tell))
            tell("called", call, results[-1])
            if not results[-1].ok or call.name in ENDING_SKILL_OUTCOMES:
                break
    finally:
        turns.append(
            Turn(
                index=len(turns),
                observation=obs,
                decision=decision,
                results=tuple(results),
                completions=tuple(said.completions),
                prompts=tuple(said.prompts),
                seconds=watch.split(said.seconds),
                sim_time_s=body.time_s - began_s,
                clamps=dict(Counter(body.clamps) - clamps),
            )
        )
        turns[-1] = replace(turns[-1], progress=_progress(env))


def observe(env: ArmEnv, policy: Policy) -> Observation:
    """Returns what the policy may see now."""
    frames = [env.body.frame(camera, policy.frame_size) for camera in policy.cameras]
    frames += filter(None, [env.goal_frame(policy.frame_size)])
    return Observation(tuple(frames), env.body.proprio(), env.instruction, env.body.time_s)


def _decide(
    thinking: Generator[Prompt, Completion, Decision], said: _Dialogue, watch: Stopwatch
) -> Generator[Prompt, Completion, Decision]:
    """Passes prompts out and completions in, and records both."""
    completion = None
    while True:
        try:
            prompt = advance(thinking, completion)
        except StopIteration as end:
            return end.value
        said.prompts.append(prompt)
        with watch.away():
            completion = yield prompt
        said.completions.append(completion)


def advance(asking: Generator[Prompt, Completion, Any], answer: Completion | BaseException | None = None) -> Prompt:
    """Returns the next prompt of a generator that asks a model. Raises StopIteration with its result at the end.

    ``answer`` is for the previous prompt, or None at the start. An exception is thrown into the generator.
    """
    if answer is None:
        return next(asking)
    return asking.throw(answer) if isinstance(answer, BaseException) else asking.send(answer)


def execute(body: Body, call: SkillCall, tell: Tell) -> SkillResult:
    """Executes one call, one control period after the other. An invalid call is a failed one."""
    motion = iter(run_skill(body, call))
    while True:
        try:
            control = next(motion)
        except StopIteration as end:
            return _checked(end.value, SkillResult, f"The skill {call.name}")
        except BadInput as error:
            return SkillResult(False, str(error))
        body.step(control)
        tell("stepped", body)


def _checked(value: Any, wanted: type[T], who: str) -> T:
    """Returns the value if it has the wanted type. It comes from code that anybody may have written."""
    if not isinstance(value, wanted):
        raise TypeError(f"{who} must return a {wanted.__name__}, not {value!r}.")
    return value


def settle(body: Body) -> None:
    """Holds the arm for a while, so that pushed or dropped objects come to rest."""
    until = body.time_s + SETTLE_S
    while body.time_s < until:
        body.step(body.hold())


def _goes_on(env: ArmEnv, turns: Sequence[Turn]) -> bool:
    """Whether there is another turn, as far as the task's limits tell."""
    if env.setup.max_periods is None:
        return len(turns) < env.setup.max_turns
    reached = bool(turns) and _judge(env, Outcome.OUT_OF_TURNS) is Outcome.SUCCESS
    periods = max(len(turns), round(env.body.time_s / CONTROL_PERIOD_S))  # a call that fails at once takes no time
    return not reached and periods < env.setup.max_periods


def judge_end(env: ArmEnv, turns: Sequence[Turn], free_words: bool) -> tuple[Outcome, float]:
    """Judges an episode that is over and whose world has come to rest. Returns its outcome and its progress."""
    return _judge(env, _ending(turns, free_words)), _progress(env)


def _ending(turns: Sequence[Turn], free_words: bool) -> Outcome:
    """Returns how the last turn ends the episode, or OUT_OF_TURNS if it does not.

    Only an episode for free words can be STUCK: outcomes of the tasks are counted as they always were.
    """
    if not turns:
        return Outcome.OUT_OF_TURNS
    last = turns[-1]
    if is_ended(last.decision, last.results):
        return ENDING_SKILL_OUTCOMES[last.decision.calls[len(last.results) - 1].name]
    if last.results and last.results[-1].ok:
        return Outcome.OUT_OF_TURNS
    recent = turns[-MAX_UNREADABLE_IN_A_ROW:]
    if len(recent) == MAX_UNREADABLE_IN_A_ROW and all(turn.decision.error for turn in recent):
        return Outcome.FORMAT
    if free_words and len(turns) >= MAX_SAME_FAILURES_IN_A_ROW:
        failures = [_failure(turn) for turn in turns[-MAX_SAME_FAILURES_IN_A_ROW:]]
        if failures[0] is not None and failures.count(failures[0]) == MAX_SAME_FAILURES_IN_A_ROW:
            return Outcome.STUCK
    return Outcome.OUT_OF_TURNS


def _failure(turn: Turn) -> tuple[SkillCall, SkillResult] | None:
    """Returns the failed call of a turn with its result, or None if there is none."""
    if not turn.results or turn.results[-1].ok:
        return None
    return turn.decision.calls[len(turn.results) - 1], turn.results[-1]


def _detail(env: ArmEnv, outcome: Outcome, turns: Sequence[Turn]) -> str:
    """Returns why the episode could not be judged, or where it was stuck."""
    failure = _failure(turns[-1]) if outcome is Outcome.STUCK else None
    if failure is not None:
        return (
            f"{failure[0].name} failed {MAX_SAME_FAILURES_IN_A_ROW} times in a row in the same way: {failure[1].detail}"
        )
    return env.setup.unjudged if outcome is Outcome.UNJUDGED else ""


def _judge(env: ArmEnv, ending: Outcome) -> Outcome:
    """Returns SUCCESS if the goal holds in the end, however the episode ended, or UNJUDGED without a goal."""
    goal = env.setup.goal
    if goal is None:
        return ending if ending in (Outcome.FORMAT, Outcome.GAVE_UP) else Outcome.UNJUDGED
    held = goal.success(env.body.state())
    if not isinstance(held, bool | np.bool_):
        raise TypeError(f"success() of the goal of {env.task} must return True or False, not {held!r}.")
    return Outcome.SUCCESS if held else ending


def _progress(env: ArmEnv) -> float:
    """Returns the progress in [0, 1], or 0 without a goal."""
    if env.setup.goal is None:
        return 0.0
    progress = env.setup.goal.progress(env.body.state())
    if not 0 <= progress <= 1:  # also true of NaN
        raise ValueError(f"progress() of the goal of {env.task} must return a number from 0 to 1, not {progress!r}.")
    return float(progress)


def _task_metrics(env: ArmEnv) -> dict[str, float]:
    """Returns the task's own measures."""
    goal = env.setup.goal
    return dict(goal.measures(env.body.state())) if isinstance(goal, Measured) else {}


@dataclass
class _Dialogue:
    """The prompts and completions of one turn."""

    prompts: list[Prompt] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(completion.seconds for completion in self.completions)

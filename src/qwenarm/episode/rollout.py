"""Play an episode: look, decide, act, look again; then the simulator judges. Body and mind meet only here.

``play`` is a generator: it yields the prompts of its policy and receives completions, so ``drive`` can advance many
episodes in lockstep and ask a backend for all their prompts in one batch. Nothing in here knows of films, pages or
terminals: those are watchers (``watching.py``).
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from qwenarm.body.rendering.renderer import choose_renderer
from qwenarm.episode.clock import Clock, parse_clock
from qwenarm.episode.versions import versions
from qwenarm.episode.watchers import Stopwatch, Tell, Watcher
from qwenarm.errors import BadInput, QwenarmError
from qwenarm.skills import run as run_skill
from qwenarm.types import (
    Completion,
    Decision,
    Episode,
    Observation,
    Outcome,
    Prompt,
    SkillCall,
    SkillResult,
    Turn,
)

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body
    from qwenarm.env import ArmEnv
    from qwenarm.mind.vlm_policy import Policy

UNREADABLE_IN_A_ROW = 3
"""So many unreadable answers one after the other end an episode."""
SETTLE_S = 0.5
"""Simulated seconds that the world gets to come to rest before it is judged: a ball may still roll."""
ENDINGS = {"done": Outcome.FAILURE, "give_up": Outcome.GAVE_UP}
"""The calls that end an episode, and how it counts when the goal does not hold."""

STOPPED = "It was stopped with Ctrl-C."

Play = Generator[Prompt, Completion, Episode]
Act = Callable[["Body", SkillCall, Tell], SkillResult]


class Stopped(KeyboardInterrupt):
    """Ctrl-C in the middle of an episode. episode: what was played until then, as CRASHED."""

    def __init__(self, episode: Episode) -> None:
        super().__init__(STOPPED)
        self.episode = episode


class ModelFailed(Exception):
    """Thrown into an episode whose model will not answer any more; the text says why."""


class Answers(Protocol):
    """All that is asked of a backend here."""

    def generate(self, prompts: Sequence[Prompt]) -> Sequence[Completion | Exception]:
        """One completion per prompt, in the same order; where one prompt alone has failed, why in its place."""
        ...


def play(
    env: ArmEnv,
    policy: Policy,
    seed: int,
    watchers: Sequence[Watcher] = (),
    setup: Mapping[str, Any] | None = None,
    clock: str = "paused",
    act: Act | None = None,
) -> Play:
    """Plays one episode and returns it. Never raises for what goes wrong inside: that is an Outcome with a name. Ctrl-C
    goes on as Stopped, with what was played, unless that is nothing.

    seed: of the scene; same seed, same scene. setup: what the caller wants recorded beside the versions. clock: what
    the world does while the policy thinks (see ``clock.py``). act: carries out a call, in the place of ``execute``.
    Raises BadInput for an unknown clock.
    """
    tell, turns, outcome, detail = Tell(env, watchers), list[Turn](), Outcome.OUT_OF_TURNS, ""
    running, stop = parse_clock(clock), None
    try:
        env.reset(seed=seed)
        tell("started", env, policy.name, seed)
        while outcome is Outcome.OUT_OF_TURNS and len(turns) < env.setup.max_turns:
            yield from _turn(env, policy, turns, tell, running, act or execute)
            tell("turned", turns[-1])
            outcome = _ending(turns)
        settle(env.body)
        outcome = _judge(env, outcome)
        detail = env.setup.unjudged if outcome is Outcome.UNJUDGED else ""
    except ModelFailed as error:
        outcome, detail = Outcome.CRASHED, str(error)
    except Exception:
        outcome, detail = Outcome.CRASHED, traceback.format_exc()
    except KeyboardInterrupt as error:
        if not turns:
            raise
        stop, outcome, detail = error, Outcome.CRASHED, STOPPED
    seen = {"renderer": choose_renderer(), "versions": versions(), "clock": clock, **(setup or {})}
    stands = hasattr(env, "body")  # a crash in reset leaves no world behind, and nothing to look on at
    if stands:
        seen |= tell.notes(turns)
        seen["seconds"] = tell.own_seconds()  # with what settled after the last turn
    if tell.failures:
        seen["watchers that failed"] = tell.failures
    episode = _episode(env, policy, seed, tuple(turns), outcome, detail, seen)
    if stands:
        tell("finished", episode)
    if stop is not None:
        raise Stopped(episode) from stop
    return episode


def _turn(
    env: ArmEnv, policy: Policy, turns: list[Turn], tell: Tell, clock: Clock, act: Act
) -> Generator[Prompt, Completion, None]:
    """Look, decide, run the calls until one fails. The turn is kept even if it crashes: then it matters most."""
    body, watch, said = env.body, Stopwatch(tell), _Dialogue()
    began_s, clamps = body.time_s, Counter(body.clamps)
    obs = observe(env, policy)
    tell("looked", obs)
    decision, results = Decision(), list[SkillResult]()
    try:
        decision = yield from _decide(policy.decide(obs, tuple(turns)), said, watch)
        tell("decided", obs, decision, said.seconds)
        clock.run_on(body, clock.thinking_s(said.completions, turns), tell)
        for call in decision.calls:
            tell("calling", call)
            with watch.skill():
                results.append(act(body, call, tell))
            tell("called", call, results[-1])
            if not results[-1].ok or call.name in ENDINGS:
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
                progress=_progress(env),
            )
        )


def observe(env: ArmEnv, policy: Policy) -> Observation:
    """What the policy may see now."""
    frames = [env.body.frame(camera, policy.frame_size) for camera in policy.cameras]
    frames += filter(None, [env.goal_frame(policy.frame_size)])
    return Observation(tuple(frames), env.body.proprio(), env.instruction, env.body.time_s)


def _decide(
    thinking: Generator[Prompt, Completion, Decision], said: _Dialogue, watch: Stopwatch
) -> Generator[Prompt, Completion, Decision]:
    """Passes prompts out and completions in, and keeps both."""
    completion = None
    while True:
        try:
            prompt = thinking.send(completion)  # type: ignore[arg-type]  # the first send of a generator is None
        except StopIteration as end:
            return end.value
        said.prompts.append(prompt)
        with watch.away():
            completion = yield prompt
        said.completions.append(completion)


def execute(body: Body, call: SkillCall, tell: Tell) -> SkillResult:
    """Runs one call to its end, one control period after the other. A call that makes no sense is a failed one."""
    motion = iter(run_skill(body, call))
    while True:
        try:
            control = next(motion)
        except StopIteration as end:
            return end.value
        except BadInput as error:
            return SkillResult(False, str(error))
        body.step(control)
        tell("stepped", body)


def settle(body: Body) -> None:
    """Holds still until what was pushed or dropped has come to rest."""
    until = body.time_s + SETTLE_S
    while body.time_s < until:
        body.step(body.hold())


def _ending(turns: Sequence[Turn]) -> Outcome:
    """How the last turn ends the episode; OUT_OF_TURNS while it goes on."""
    last = turns[-1]
    if last.results and last.results[-1].ok:
        return ENDINGS.get(last.decision.calls[len(last.results) - 1].name, Outcome.OUT_OF_TURNS)
    recent = turns[-UNREADABLE_IN_A_ROW:]
    if len(recent) == UNREADABLE_IN_A_ROW and all(turn.decision.error for turn in recent):
        return Outcome.FORMAT
    return Outcome.OUT_OF_TURNS


def _judge(env: ArmEnv, ending: Outcome) -> Outcome:
    """SUCCESS if the goal holds in the end, however the episode ended; without a goal nobody can tell."""
    goal = env.setup.goal
    if goal is None:
        return ending if ending in (Outcome.FORMAT, Outcome.GAVE_UP) else Outcome.UNJUDGED
    return Outcome.SUCCESS if goal.success(env.body.state()) else ending


def _progress(env: ArmEnv) -> float:
    return float(env.setup.goal.progress(env.body.state())) if env.setup.goal else 0.0


def _episode(
    env: ArmEnv,
    policy: Policy,
    seed: int,
    turns: tuple[Turn, ...],
    outcome: Outcome,
    detail: str,
    setup: dict[str, Any],
) -> Episode:
    stands = all(hasattr(env, part) for part in ("setup", "body"))  # a crash in reset leaves no scene behind
    return Episode(
        task=env.task,
        level=env.level,
        arm=env.arm,
        policy=policy.name,
        seed=seed,
        instruction=env.setup.instruction if stands else "",
        turns=turns,
        outcome=outcome,
        progress=_progress(env) if outcome is not Outcome.CRASHED else turns[-1].progress if turns else 0.0,
        final_hash=env.body.final_hash() if stands else "",
        setup={"policy": dict(policy.describe()), "cameras": list(policy.cameras), **setup},
        detail=detail,
    )


def drive(plays: Iterable[Play], backend: Answers | None = None, batch: int = 1) -> Generator[Episode, None, None]:
    """Advances up to ``batch`` episodes in lockstep, their prompts answered together; yields each episode as it ends.

    plays are begun only when there is room, so an endless iterator of them is fine. An error in the place of an answer
    ends that episode as CRASHED; one that the backend raises ends all those in flight, except ``QwenarmError`` (a
    server that is down), which is the caller's and is raised.
    """
    queue, flying = iter(plays), dict[Play, Prompt]()
    try:
        while True:
            while len(flying) < batch and (fresh := next(queue, None)) is not None:
                yield from _advance(fresh, None, flying)
            if not flying:
                return
            answers = _ask(backend, list(flying.values()))
            for player, answer in zip(list(flying), answers, strict=True):
                yield from _advance(player, answer, flying)
    finally:
        for player in flying:
            player.close()


def play_alone(player: Play, backend: Answers | None = None) -> tuple[Episode, BaseException | None]:
    """Plays one episode, and keeps what was played even if it cannot be played to its end.

    Beside the episode, which then is CRASHED, comes what the caller must hear: the model's ``QwenarmError``, or Ctrl-C;
    otherwise None. Ctrl-C before the first turn is raised at once.
    """
    answer: Completion | BaseException | None = None
    failed = None
    try:
        while True:
            prompt = player.throw(answer) if isinstance(answer, BaseException) else player.send(answer)  # type: ignore[arg-type]
            try:
                (answer,) = _ask(backend, [prompt])
            except QwenarmError as error:
                answer, failed = ModelFailed(str(error)), error
            except KeyboardInterrupt as error:
                answer = error
    except StopIteration as end:
        return end.value, failed
    except Stopped as stopped:
        return stopped.episode, stopped


def _advance(player: Play, answer: Completion | Exception | None, flying: dict[Play, Prompt]) -> Iterator[Episode]:
    """Runs one episode up to its next prompt, or to its end."""
    try:
        flying[player] = player.throw(answer) if isinstance(answer, Exception) else player.send(answer)  # type: ignore[arg-type]
    except StopIteration as end:
        flying.pop(player, None)
        yield end.value


def _ask(backend: Answers | None, prompts: list[Prompt]) -> Sequence[Completion | Exception]:
    if backend is None:
        raise BadInput("This policy asks a model, and no model was given.")
    try:
        return backend.generate(prompts)
    except QwenarmError:
        raise
    except Exception as error:
        return [error] * len(prompts)


@dataclass
class _Dialogue:
    """What was asked and answered within one turn."""

    prompts: list[Prompt] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(completion.seconds for completion in self.completions)

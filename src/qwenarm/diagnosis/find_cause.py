"""Which module an episode failed by: counterfactual replays, with one module after another replaced by the oracle's.

How it works, for one failed episode:

1. It is played again unchanged. The model's answers are taken from the record, so the same happens as before. If it
   succeeds now, the failure cannot be repeated, and nothing else can be said.
2. It is played again six times, each time with another one of ``AGENT_MODULES`` replaced. The first replacement that
   turns failure into success is the cause; others that do so as well are ties.
3. If none does, pairs of modules are replaced: interactions. If no pair does, all are replaced together: then several
   modules failed, or, if even that is no success, the task itself is unclear.

After a replacement the model may see scenes that are not in the record. What it answers there is remembered as well,
so that every replay hears the same answer to the same prompt.

Most replays need not be played. Every replay notes which modules did anything else than the oracle's would have done.
A module that never did could be replaced without any difference, so the outcome is known already.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, cast

from qwenarm.diagnosis.ideal_skills import IdealHands
from qwenarm.diagnosis.oracle_replacements import (
    AGENT_MODULES,
    CONTROL_MODULE,
    SAFETY_MODULE,
    TIME_MODULE,
    AdjustedWorld,
    CorrectedPolicy,
    ModuleNotes,
)
from qwenarm.episode.rollout import Play, play
from qwenarm.errors import last_line
from qwenarm.types import Completion, Episode, Outcome, Prompt, RunInfo

if TYPE_CHECKING:
    from qwenarm.env import ArmEnv
    from qwenarm.episode.watchers import Watcher
    from qwenarm.mind.vlm_policy import Policy

TASK_UNCLEAR = "task unclear"
"""Success cannot be judged, or not even the oracle with ideal skills and more time succeeds."""
SEVERAL_MODULES = "several"
"""No pair of replacements is enough, but all together are."""
EPISODE_CRASHED = "crash"
"""The episode crashed, or a replay did with nothing or with everything replaced."""
NOT_REPEATED = "not repeated"
"""The unchanged replay succeeds: the model, or a wall-clock time, is not deterministic."""
NO_MODULE = "nothing"
"""Name of the replay in which nothing is replaced."""

Modules = frozenset[str]
AnswerMemory = dict[str, Completion]
"""Answers by ``prompt_hash``."""


@dataclass(frozen=True)
class Case:
    """A failed episode, and how to recreate its environment and its policy."""

    episode: Episode
    env: Callable[[], ArmEnv]
    policy: Callable[[ArmEnv], Policy]


@dataclass(frozen=True)
class Finding:
    """Why an episode failed.

    Attributes:
        cause: A module, two of them ("perception+plan"), or one of the constants above.
        also: Other replacements of the same size that would have led to success.
        why: What the module did, in one sentence.
        tried: The outcome of each replacement.
        same: Whether the unchanged replay ended in the recorded state, bit for bit.
    """

    cause: str
    also: tuple[str, ...] = ()
    why: str = ""
    tried: Mapping[str, str] = field(default_factory=dict)
    same: bool = True


@dataclass(frozen=True)
class _Replay:
    """One replay."""

    outcome: Outcome
    notes: ModuleNotes
    final_hash: str
    detail: str

    @property
    def success(self) -> bool:
        return self.outcome is Outcome.SUCCESS


def spelled(modules: Collection[str]) -> str:
    """Returns, for example, "perception+plan", in the order of AGENT_MODULES."""
    return "+".join(module for module in AGENT_MODULES if module in modules) or NO_MODULE


def find_cause(case: Case) -> Generator[Prompt, Completion, Finding]:
    """Replays a failed episode until its cause is known.

    A generator, like an episode: it yields the prompts that are not answered yet, each of them once, and returns the
    finding. So many of them can be driven together.
    """
    if case.episode.outcome is Outcome.CRASHED:
        return Finding(EPISODE_CRASHED, why=last_line(case.episode.detail))
    if case.episode.outcome is Outcome.UNJUDGED:
        return Finding(TASK_UNCLEAR, why="The instruction could not be read as a goal.")
    replays = _ReplaySet(case)
    base = yield from replays.run(frozenset())
    same = base.final_hash == case.episode.final_hash
    if base.success:
        return Finding(NOT_REPEATED, tried=replays.tried(), same=same)
    if base.outcome is Outcome.CRASHED:
        return Finding(EPISODE_CRASHED, (), f"Played again: {last_line(base.detail)}", replays.tried(), same)
    for size in (1, 2, len(AGENT_MODULES)):
        for chosen in combinations(AGENT_MODULES, size):
            yield from replays.run(frozenset(chosen))
        found = replays.successes(size)
        if found:
            cause = SEVERAL_MODULES if size > 2 else found[0]
            first = cause.split("+")[0]
            why = next(iter(base.notes.by_module.get(first, ())), "")
            return Finding(cause, tuple(found[1:]), why, replays.tried(), same)
    oracles = replays.runs[frozenset(AGENT_MODULES)]
    if oracles.outcome is Outcome.CRASHED:
        return Finding(EPISODE_CRASHED, (), f"Played by the oracle: {last_line(oracles.detail)}", replays.tried(), same)
    return Finding(TASK_UNCLEAR, (), "Not even the oracle succeeds.", replays.tried(), same)


class _ReplaySet:
    """The replays of one episode, each played at most once."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.memory = recorded_answers(case.episode)
        self.runs: dict[Modules, _Replay] = {}

    def tried(self) -> dict[str, str]:
        """Returns the outcome of each replay so far, including inferred ones."""
        return {spelled(modules): str(run.outcome) for modules, run in self.runs.items()}

    def successes(self, size: int) -> list[str]:
        """Returns the replacements of ``size`` modules that led to success."""
        return [spelled(modules) for modules, run in self.runs.items() if len(modules) == size and run.success]

    def run(self, modules: Modules) -> Generator[Prompt, Completion, _Replay]:
        """Returns the replay with these modules replaced. It is played only if its outcome is not known."""
        # A module that made no difference in a run would make none if it were replaced as well.
        runs = self.runs.items()
        same = (run for fewer, run in runs if fewer < modules and (modules - fewer).isdisjoint(run.notes.by_module))
        known = next(same, None)
        self.runs[modules] = known if known else (yield from self._play(modules))
        return self.runs[modules]

    def _play(self, modules: Modules) -> Generator[Prompt, Completion, _Replay]:
        notes = ModuleNotes()
        again = yield from play_replaced(self.case, modules, notes, self.memory)
        _note_control_safety_time(notes, again)
        return _Replay(again.outcome, notes, again.final_hash, again.detail)


def play_replaced(
    case: Case, modules: Modules, notes: ModuleNotes, memory: AnswerMemory, watchers: Sequence[Watcher] = ()
) -> Play:
    """Plays an episode again with some modules replaced by the oracle's.

    Args:
        case: The episode, and how to make its environment and policy.
        modules: The modules to replace, some of AGENT_MODULES.
        notes: Where deviations of format, perception and plan from the oracle's are noted.
        memory: Answers that are known already; new ones are added.
        watchers: Told of every event.
    """
    env, config = case.env(), case.episode.run.config
    try:
        policy = CorrectedPolicy(case.policy(env), env, modules, notes)
        config = replace(config, clock="paused") if TIME_MODULE in modules else config
        act = IdealHands() if CONTROL_MODULE in modules else None
        world = cast("ArmEnv", AdjustedWorld(env, modules))
        return (yield from with_memory(play(world, policy, RunInfo(config, case.episode.seed), watchers, act), memory))
    finally:
        env.close()


def _note_control_safety_time(notes: ModuleNotes, again: Episode) -> None:
    """Records deviations of these modules; the policy records those of the others."""
    for turn in again.turns:
        for call, result in zip(turn.decision.calls, turn.results, strict=False):
            if not result.ok:
                notes.add(CONTROL_MODULE, f"turn {turn.index + 1}: {call.name}: {result.detail}")
        if turn.clamps:
            notes.add(SAFETY_MODULE, f"turn {turn.index + 1}: {', '.join(sorted(turn.clamps))}")
    if again.turns and CONTROL_MODULE not in notes:
        notes.add(CONTROL_MODULE, "every call reported success")
    if (clock := again.run.config.clock) != "paused":
        notes.add(TIME_MODULE, f"the clock was {clock}")
    if again.outcome is Outcome.OUT_OF_TURNS:
        notes.add(TIME_MODULE, f"all {len(again.turns)} turns were used")


def recorded_answers(episode: Episode) -> AnswerMemory:
    """Returns the model's answers in an episode."""
    pairs = (pair for turn in episode.turns for pair in zip(turn.prompts, turn.completions, strict=False))
    return {prompt_hash(prompt): completion for prompt, completion in pairs}


def prompt_hash(prompt: Prompt) -> str:
    """Returns the sha256 of everything in a prompt. Storing and reading it does not change it."""
    parts: list[Any] = [prompt.messages, prompt.tools, prompt.max_tokens, prompt.max_calls]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for image in prompt.images:
        digest.update(repr(image.shape).encode() + image.tobytes())
    return digest.hexdigest()


def with_memory(episode: Play, memory: AnswerMemory) -> Play:
    """Returns a generator that answers prompts from memory, and adds new answers to it."""
    step = partial(next, episode)
    while True:
        try:
            prompt = step()
        except StopIteration as end:
            return end.value
        key = prompt_hash(prompt)
        if key not in memory:
            try:
                memory[key] = yield prompt
            except Exception as error:  # there is no answer: the episode has to deal with that
                step = partial(episode.throw, error)
                continue
        step = partial(episode.send, memory[key])

"""Which part an episode failed by: it is played again with one module after the other replaced by the oracle's.

The first replacement that turns failure into success names the cause. Others that do so as well are ties; where none
does, pairs are tried, which are interactions; where not even all together help, the task itself is unclear. A module
that never went otherwise than the oracle's in a replay need not be replaced in it: the outcome is known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, cast

from qwenarm.diagnosis.ideal_skills import IdealHands
from qwenarm.diagnosis.oracle_replacements import (
    CONTROL,
    MODULES,
    SAFETY,
    TIME,
    AdjustedWorld,
    CorrectedPolicy,
    ModuleNotes,
)
from qwenarm.episode.rollout import Play, play
from qwenarm.types import Completion, Episode, Outcome, Prompt, RunInfo

if TYPE_CHECKING:
    from qwenarm.env import ArmEnv
    from qwenarm.mind.vlm_policy import Policy

UNCLEAR = "task unclear"
"""Nobody can judge it, or not even the oracle with ideal skills and unlimited time succeeds."""
SEVERAL = "several"
"""No pair of replacements is enough, but all together are."""
CRASH = "crash"
"""The episode crashed, or a replay with nothing or with everything replaced: no decision and no motion is to blame."""
NOT_REPEATED = "not repeated"
"""Played again unchanged it succeeds: the model, or the wall clock, does not do the same twice."""
NOTHING = "nothing"
"""The name of the replay in which nothing is replaced."""

Modules = frozenset[str]
Memory = dict[str, Completion]
"""What was answered to a prompt, by the prompt's hash."""


@dataclass(frozen=True)
class Case:
    """A failed episode, and how to make its environment and its policy anew."""

    episode: Episode
    env: Callable[[], ArmEnv]
    policy: Callable[[ArmEnv], Policy]


@dataclass(frozen=True)
class Finding:
    """Why an episode failed.

    cause: a module, two of them ("perception+plan"), SEVERAL, UNCLEAR, CRASH or NOT_REPEATED. also: other replacements,
    as small, that would have done. why: what the module did, in one sentence. tried: replacement -> outcome. same:
    whether the unchanged replay ended in the recorded state, bit for bit.
    """

    cause: str
    also: tuple[str, ...] = ()
    why: str = ""
    tried: Mapping[str, str] = field(default_factory=dict)
    same: bool = True


@dataclass(frozen=True)
class _Run:
    """One replay."""

    outcome: Outcome
    notes: ModuleNotes
    final_hash: str
    detail: str

    @property
    def success(self) -> bool:
        return self.outcome is Outcome.SUCCESS


Asking = Generator[Prompt, Completion, Finding]


def spelled(modules: Collection[str]) -> str:
    """ "perception+plan", in the order in which modules are tried."""
    return "+".join(module for module in MODULES if module in modules) or NOTHING


def find_cause(case: Case) -> Asking:
    """Yields the prompts that the replays need answered, as an episode does, and returns what it found.

    Prompts that stand in the record are answered from it, and each other one is asked once: all replays hear the same.
    """
    if case.episode.outcome is Outcome.CRASHED:
        return Finding(CRASH, why=_last_line(case.episode.detail))
    if case.episode.outcome is Outcome.UNJUDGED:
        return Finding(UNCLEAR, why="The instruction could not be read as a goal.")
    replays = _Replays(case)
    base = yield from replays.run(frozenset())
    same = base.final_hash == case.episode.final_hash
    if base.success:
        return Finding(NOT_REPEATED, tried=replays.tried(), same=same)
    if base.outcome is Outcome.CRASHED:
        return Finding(CRASH, (), f"Played again: {_last_line(base.detail)}", replays.tried(), same)
    for size in (1, 2, len(MODULES)):
        for chosen in combinations(MODULES, size):
            yield from replays.run(frozenset(chosen))
        found = replays.successes(size)
        if found:
            cause = SEVERAL if size > 2 else found[0]
            first = cause.split("+")[0]
            why = next(iter(base.notes.by_module.get(first, ())), "")
            return Finding(cause, tuple(found[1:]), why, replays.tried(), same)
    oracles = replays.runs[frozenset(MODULES)]
    if oracles.outcome is Outcome.CRASHED:
        return Finding(CRASH, (), f"Played by the oracle: {_last_line(oracles.detail)}", replays.tried(), same)
    return Finding(UNCLEAR, (), "Not even the oracle succeeds.", replays.tried(), same)


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


class _Replays:
    """The replays of one episode, none of them played twice."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.memory = recorded(case.episode)
        self.runs: dict[Modules, _Run] = {}

    def tried(self) -> dict[str, str]:
        """The outcome of every replay so far, those included that need not be played."""
        return {spelled(modules): str(run.outcome) for modules, run in self.runs.items()}

    def successes(self, size: int) -> list[str]:
        """The replacements of so many modules that helped."""
        return [spelled(modules) for modules, run in self.runs.items() if len(modules) == size and run.success]

    def run(self, modules: Modules) -> Generator[Prompt, Completion, _Run]:
        known = (self.runs[less] for less in self.runs if less < modules and self._enough(less, modules))
        found = next(known, None)
        self.runs[modules] = found if found else (yield from self._play(modules))
        return self.runs[modules]

    def _enough(self, less: Modules, modules: Modules) -> bool:
        """Would replacing the rest as well have changed nothing in that replay? Control always changes something."""
        return all(module not in self.runs[less].notes for module in modules - less)

    def _play(self, modules: Modules) -> Generator[Prompt, Completion, _Run]:
        notes, episode = ModuleNotes(), self.case.episode
        env = self.case.env()
        try:
            policy = CorrectedPolicy(self.case.policy(env), env, modules, notes)
            config = episode.run.config
            config = replace(config, clock="paused") if TIME in modules else config
            act = IdealHands() if CONTROL in modules else None
            world = cast("ArmEnv", AdjustedWorld(env, modules))
            again = yield from remembered(play(world, policy, RunInfo(config, episode.seed), act=act), self.memory)
        finally:
            env.close()
        _note_the_rest(notes, again)
        return _Run(again.outcome, notes, again.final_hash, again.detail)


def _note_the_rest(notes: ModuleNotes, again: Episode) -> None:
    """What no policy can see: control, clamps and time."""
    for turn in again.turns:
        for call, result in zip(turn.decision.calls, turn.results, strict=False):
            if not result.ok:
                notes.add(CONTROL, f"turn {turn.index + 1}: {call.name}: {result.detail}")
        if turn.clamps:
            notes.add(SAFETY, f"turn {turn.index + 1}: {', '.join(sorted(turn.clamps))}")
    if again.turns and CONTROL not in notes:
        notes.add(CONTROL, "every call went well in the skill's own view")
    if (clock := again.run.config.clock) != "paused":
        notes.add(TIME, f"the clock was {clock}")
    if again.outcome is Outcome.OUT_OF_TURNS:
        notes.add(TIME, f"all {len(again.turns)} turns were used")


def recorded(episode: Episode) -> Memory:
    """What a model said in an episode, by the prompts that it was asked."""
    pairs = (pair for turn in episode.turns for pair in zip(turn.prompts, turn.completions, strict=False))
    return {prompt_hash(prompt): completion for prompt, completion in pairs}


def prompt_hash(prompt: Prompt) -> str:
    """sha256 over all of a prompt, the same before and after it was stored."""
    told: list[Any] = [prompt.messages, prompt.tools, prompt.max_tokens, prompt.max_calls]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for image in prompt.images:
        digest.update(repr(image.shape).encode() + image.tobytes())
    return digest.hexdigest()


def remembered(player: Play, memory: Memory) -> Play:
    """The same episode, its prompts answered from memory where they can be; other answers are remembered."""
    step = partial(next, player)
    while True:
        try:
            prompt = step()
        except StopIteration as end:
            return end.value
        key = prompt_hash(prompt)
        if key not in memory:
            try:
                memory[key] = yield prompt
            except Exception as error:  # no answer: the episode's own affair
                step = partial(player.throw, error)
                continue
        step = partial(player.send, memory[key])

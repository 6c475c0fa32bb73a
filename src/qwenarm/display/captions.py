"""Calls, results and endings in short human words: film, page and terminal say the same."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from qwenarm.episode.endings import is_ended
from qwenarm.perturbations import spell
from qwenarm.policies import is_action_chunk
from qwenarm.types import Decision, Episode, ImagePoint, Outcome, RunConfig, SideEffect, SkillCall, SkillResult, Turn

TIMED_PARTS = ("model", "physics", "render", "skill", "other")
"""The parts of a turn's wall-clock seconds, in the order in which they are shown. The film's are not the episode's."""
PREPOSITIONS = {("place", "at"): "at", ("push", "to"): "to", ("pull", "to"): "to"}
"""What stands before an argument, by skill and parameter, where the value alone would read as what is handled."""
INTERRUPTED = SkillResult(False, "interrupted")
"""Stands for the result of a call in which an episode was stopped or crashed: it may have moved objects first."""
OUTCOME_COLORS = {Outcome.SUCCESS: "green", Outcome.UNJUDGED: "yellow", Outcome.STOPPED: "yellow"}


def arg_text(value: object) -> str:
    """One argument: "red cube (0.51, 0.43)" for a point, "8 actions" for a chunk, the plain value otherwise."""
    if isinstance(value, list):
        return f"{len(value)} actions"
    if not isinstance(value, ImagePoint):
        return f"{value:g}" if isinstance(value, float) else str(value)
    where = f"({value.u:.2f}, {value.v:.2f})"
    return f"{value.label} {where}" if value.label else where


def call_text(call: SkillCall) -> str:
    """One call as words: "pick red cube (0.51, 0.43)", "place at blue bowl (0.74, 0.43)"."""
    return _call_words(call, {name: arg_text(value) for name, value in call.args.items()})


def short_call(call: SkillCall) -> str:
    """One call without coordinates: "pick red cube"."""
    points = {name: value.label for name, value in call.args.items() if isinstance(value, ImagePoint)}
    return _call_words(call, {name: arg_text(value) for name, value in call.args.items()} | points)


def _call_words(call: SkillCall, told: Mapping[str, str]) -> str:
    """The skill's name, then each argument that says something, with its preposition; "play 8 actions" for a chunk."""
    words = ["play" if is_action_chunk(call) else call.name]
    for name, text in told.items():
        words += [PREPOSITIONS.get((call.name, name), ""), text] if text else []
    return " ".join(filter(None, words))


def result_text(result: SkillResult | None) -> str:
    """ "ok", "failed: out of reach by 4 cm", or "not run" for a call that comes after a failed one."""
    if result is None:
        return "not run"
    word = "ok" if result.ok else "failed"
    return f"{word}: {result.detail}" if result.detail else word


def pairs(turn: Turn) -> list[tuple[SkillCall, SkillResult | None]]:
    """Every call of a turn with its result; INTERRUPTED where the episode ended in it, None where it was not run."""
    calls, results = turn.decision.calls, list[SkillResult | None](turn.results)
    if all(result.ok for result in turn.results) and not is_ended(turn.decision, turn.results):
        results.append(INTERRUPTED)
    return list(zip(calls, results + [None] * len(calls), strict=False))


def decision_text(decision: Decision) -> str:
    """What was decided, or why it could not be read, in one line."""
    if decision.error:
        return f"{decision.error}: {decision.detail}" if decision.detail else str(decision.error)
    return "; ".join(map(call_text, decision.calls)) or "no call"


def side_effects_text(effects: Sequence[SideEffect]) -> str:
    """ "the green ball is in the blue bowl, the red cube is on the floor"."""
    return ", ".join(map(str, effects))


def total_seconds(episode: Episode) -> dict[str, float]:
    """Wall-clock seconds by part over the whole episode, in the order of TIMED_PARTS; parts without any are omitted."""
    sums = {name: sum(turn.seconds.get(name, 0.0) for turn in episode.turns) for name in TIMED_PARTS}
    return {name: value for name, value in sums.items() if value > 0}


def total_clamps(episode: Episode) -> dict[str, int]:
    """How often the safety layer held something back, by kind, over the whole episode."""
    names = sorted({name for turn in episode.turns for name in turn.clamps})
    return {name: sum(turn.clamps.get(name, 0) for turn in episode.turns) for name in names}


def command(episode: Episode) -> str:
    """The command line that plays this episode again. It names the options that differ from their defaults."""
    config, usual = episode.run.config, RunConfig()
    words = ["qwenarm", "run", *([config.words] if config.words else ["--task", config.task])]
    words += ["--level", str(config.level)]
    words += ["--seed", str(episode.seed), "--arm", config.arm, "--policy", config.policy]
    words += ["--model", config.model, "--altitude", config.altitude] if config.model else []
    for option in ("combos", "perturbations", "clock", "cameras", "control"):
        if (value := getattr(config, option)) != getattr(usual, option):
            words += [f"--{option}", spell(value) if option == "perturbations" else value]
    return shlex.join(words)


def outcome_color(outcome: Outcome) -> str:
    """The colour name of an ending: green, yellow when nobody can tell or the user ended it, red otherwise."""
    return OUTCOME_COLORS.get(outcome, "red")

"""Does the attribution name the module that was deliberately broken? Goal: in at least 95 % of the failed episodes.

The oracle plays with one module broken: format (unreadable answers), perception (noisy points), plan (other objects,
another order, an early end), safety (limits far too tight), control (a weak grip), time (too few turns). Every
episode that fails because of it is attributed like any other; the tool does not know what was done.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from qwenarm.body.safety import Safety
from qwenarm.diagnosis.find_cause import Case, Finding, find_cause
from qwenarm.env import ArmEnv
from qwenarm.episode.drive import drive
from qwenarm.episode.rollout import play
from qwenarm.evaluation.stats import wilson
from qwenarm.factory import make_env
from qwenarm.mind.vlm_policy import Deciding
from qwenarm.policies import Context, policy_entry
from qwenarm.tasks import oracle_call
from qwenarm.types import (
    Decision,
    Episode,
    FormatError,
    ImagePoint,
    Observation,
    Outcome,
    RunConfig,
    RunInfo,
    SkillCall,
    Turn,
)

RESULTS_FOLDER = Path(__file__).parent / "results"
GOAL_SHARE = 0.95
POINT_NOISE_STD = 0.12
"""Standard deviation of a noisy point, as a fraction of the image's width and height."""
GARBLED_SHARE = 0.7
"""Share of the answers that are unreadable."""
FINGER_FORCE_SHARE, FINGER_FRICTION = 0.01, (0.05, 0.0005, 0.0005)
"""Share of the fingers' force that remains, and their friction: sliding, torsional (m), rolling (m)."""
JOINT_SPEED_SHARE = 0.3
"""Share of the joints' speed that remains."""
TASK_CELLS = (("put", 1), ("put", 3), ("stack", 1), ("stack", 2), ("sort", 1), ("sort", 2))


class Broken:
    """An oracle whose decisions may be spoilt, in the same way for the same seed and turn."""

    def __init__(self, env: ArmEnv, seed: int) -> None:
        self.env, self.seed = env, seed
        self.oracle = policy_entry("oracle").make(Context(RunConfig(policy="oracle"), seed, env=env))
        self.name, self.cameras, self.frame_size = "oracle", self.oracle.cameras, self.oracle.frame_size

    def describe(self) -> Mapping[str, Any]:
        return self.oracle.describe()

    def decide(self, obs: Observation, history: tuple[Turn, ...]) -> Deciding:
        decision = yield from self.oracle.decide(obs, history)
        return self.spoil(decision, np.random.default_rng([self.seed, len(history), 7]), history)

    def spoil(self, decision: Decision, rng: np.random.Generator, history: tuple[Turn, ...]) -> Decision:
        return decision


class Garbled(Broken):
    """Writes unreadable answers."""

    def spoil(self, decision: Decision, rng: np.random.Generator, history: tuple[Turn, ...]) -> Decision:
        return Decision(error=FormatError.BROKEN) if rng.random() < GARBLED_SHARE else decision


class Squinting(Broken):
    """Points beside its targets."""

    def spoil(self, decision: Decision, rng: np.random.Generator, history: tuple[Turn, ...]) -> Decision:
        (call,) = decision.calls
        shifted = {name: _shifted(value, rng) for name, value in call.args.items()}
        return replace(decision, calls=(SkillCall(call.name, shifted),))


class Confused(Broken):
    """Follows another plan: with other objects, in another order, or with an early end."""

    def spoil(self, decision: Decision, rng: np.random.Generator, history: tuple[Turn, ...]) -> Decision:
        if not history:
            self.plan = self._made_up(np.random.default_rng([self.seed, 11]))
        call = self.plan[min(len(history), len(self.plan) - 1)]
        try:
            return replace(decision, calls=(oracle_call(self.env.body, call, self.cameras),))
        except Exception:  # its target is not visible any more
            return replace(decision, calls=(SkillCall("done"),))

    def _made_up(self, rng: np.random.Generator) -> list[SkillCall]:
        goal = self.env.setup.goal
        assert goal is not None
        *steps, end = goal.solve(self.env.body.state())
        pairs = [steps[i : i + 2] for i in range(0, len(steps), 2)]
        kind = rng.choice(["things", "order", "end"])
        if kind == "end":
            pairs = pairs[:-1]
        elif kind == "order" and len(pairs) > 1:
            pairs = pairs[::-1]
        else:
            pairs = [[self._other(call, rng) for call in pair] for pair in pairs]
        return [call for pair in pairs for call in pair] + [end]

    def _other(self, call: SkillCall, rng: np.random.Generator) -> SkillCall:
        specs = {p.spec.id: p.spec for p in self.env.setup.scene.objects}
        what = specs.get(str(call.args.get("at")))
        others = [i for i, s in specs.items() if what and s.graspable == what.graspable and i != what.id]
        return replace(call, args={"at": others[rng.integers(len(others))]}) if others else call


class Hobbled:
    """An environment that is modified at every reset."""

    def __init__(self, env: ArmEnv, spoil: Callable[[ArmEnv], None]) -> None:
        self._env, self._spoil = env, spoil

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("_env", "_spoil"):
            object.__setattr__(self, name, value)
        else:
            setattr(self._env, name, value)

    def reset(self, **options: Any) -> Any:
        found = self._env.reset(**options)
        self._spoil(self._env)
        return found


def weak_grip(env: ArmEnv) -> None:
    """Makes the fingers weak and slippery."""
    model = env.body.model
    for name in env.body.arm.gripper.actuators:
        model.actuator_gainprm[model.actuator(name).id] *= FINGER_FORCE_SHARE
        model.actuator_biasprm[model.actuator(name).id] *= FINGER_FORCE_SHARE
    for name in env.body.arm.gripper.bodies:
        pads = model.geom_bodyid == model.body(name).id
        model.geom_friction[pads] = FINGER_FRICTION  # the pads' friction counts, because their priority is higher


def tight_limits(env: ArmEnv) -> None:
    """Slows every motion down in the safety layer, without the rest waiting for it."""
    for manipulator in env.body.manipulators:
        slow = copy(manipulator.kinematics)
        slow.arm = replace(slow.arm, velocity=tuple(JOINT_SPEED_SHARE * each for each in slow.arm.velocity))
        manipulator.safety = Safety(slow)


def few_turns(env: ArmEnv) -> None:
    """Allows one turn less than needed."""
    goal = env.setup.goal
    assert goal is not None
    env.setup = replace(env.setup, max_turns=len(goal.solve(env.body.state())) - 2)


@dataclass(frozen=True)
class Breakage:
    """How a module is broken: in its policy, or in its environment."""

    policy: type[Broken] = Broken
    spoil: Callable[[ArmEnv], None] = lambda env: None

    def env(self, config: RunConfig) -> ArmEnv:
        return cast(ArmEnv, Hobbled(make_env(config), self.spoil))


BREAKAGE_OF_MODULE = {
    "format": Breakage(Garbled),
    "perception": Breakage(Squinting),
    "plan": Breakage(Confused),
    "safety": Breakage(spoil=tight_limits),
    "control": Breakage(spoil=weak_grip),
    "time": Breakage(spoil=few_turns),
}


def _shifted(value: Any, rng: np.random.Generator) -> Any:
    if not isinstance(value, ImagePoint):
        return value
    u, v = np.clip(np.array([value.u, value.v]) + POINT_NOISE_STD * rng.normal(size=2), 0.0, 1.0)
    return replace(value, u=float(u), v=float(v))


def failed(breakage: Breakage, task: str, level: int, seeds: Iterator[int]) -> Iterator[tuple[Case, Episode]]:
    """Yields the episodes out of these seeds that fail because of a breakage."""
    config = RunConfig(task, level, policy="oracle")
    for seed in seeds:
        env = breakage.env(config)
        (episode,) = drive([play(env, breakage.policy(env, seed), RunInfo(config, seed))])
        env.close()
        if episode.outcome is not Outcome.SUCCESS:
            case = Case(episode, lambda: breakage.env(config), lambda env, seed=seed: breakage.policy(env, seed))
            yield case, episode


def attribute(case: Case) -> Finding:
    """Returns the tool's finding for one episode."""
    (found,) = drive([cast(Any, find_cause(case))])
    return cast(Finding, found)


def table(counts: Mapping[str, Counter[str]]) -> str:
    """Returns the confusion table in Markdown: what was broken in rows, what was named in columns."""
    names = list(dict.fromkeys([*counts, *(name for row in counts.values() for name in row)]))
    lines = ["| broken | n | named | " + " | ".join(names) + " |", "| --- " * (len(names) + 3) + "|"]
    for broken, row in counts.items():
        n = sum(row.values())
        low, high = wilson(row[broken], n)
        named = f"{row[broken]}/{n} · {100 * row[broken] / n:.0f} % ({100 * low:.0f}–{100 * high:.0f})"
        lines.append(f"| {broken} | {n} | {named} | " + " | ".join(str(row[name]) for name in names) + " |")
    return "\n".join(lines)


def main() -> None:
    """Breaks, plays, attributes, prints the confusion table, and writes benchmarks/results/attribution.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=36, help="failed ones of each breakage")
    parser.add_argument("--only", default="", help="one breakage")
    parser.add_argument("--tasks", default="", help="task:level,task:level in the place of the usual ones")
    parser.add_argument("--out", type=Path, default=RESULTS_FOLDER / "attribution.json")
    args = parser.parse_args()
    named = [cell.partition(":") for cell in args.tasks.split(",") if cell]
    cells = [(task, int(level)) for task, _, level in named] or list(TASK_CELLS)
    counts: dict[str, Counter[str]] = {}
    rows = []
    for name in [args.only] if args.only else BREAKAGE_OF_MODULE:
        counts[name] = Counter()
        each = -(-args.episodes // len(cells))
        for task, level in cells:
            cases = failed(BREAKAGE_OF_MODULE[name], task, level, iter(range(20 * each)))
            for (case, episode), _ in zip(cases, range(each), strict=False):
                found = attribute(case)
                counts[name][found.cause] += 1
                rows.append({"broken": name, "task": task, "level": level, "seed": episode.seed, "cause": found.cause})
                rows[-1] |= {"also": list(found.also), "tried": dict(found.tried), "why": found.why, "same": found.same}
                flag = "" if found.cause == name else "  <<<"
                also = f" also {', '.join(found.also)}" if found.also else ""
                print(f"{name:10} {task} {level} seed {episode.seed}: {found.cause}{also}{flag}", file=sys.stderr)
    print(table(counts))
    right = sum(row[name] for name, row in counts.items())
    total = sum(sum(row.values()) for row in counts.values())
    low, high = wilson(right, total)
    print(f"\nnamed {right}/{total} ({right / total:.1%}, {low:.1%} to {high:.1%}); goal {GOAL_SHARE:.0%}")
    args.out.parent.mkdir(exist_ok=True)
    summary = {"named": right, "failed": total, "counts": {name: dict(row) for name, row in counts.items()}}
    args.out.write_text(json.dumps({**summary, "episodes": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

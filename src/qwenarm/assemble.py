"""From names to things: the environment, the model and the policy that a command line asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from qwenarm import baselines
from qwenarm.changes import Changes, parse, spell
from qwenarm.errors import UnknownName
from qwenarm.mind.presets import Altitude
from qwenarm.rollout import Play, play
from qwenarm.types import Episode

if TYPE_CHECKING:
    from qwenarm.env import ArmEnv
    from qwenarm.mind.backends import Backend
    from qwenarm.mind.policies import Policy
    from qwenarm.tasks._casting import Combos
    from qwenarm.watching import Watcher

POLICIES = ("vlm", "blind", *baselines.NAMES)
ASK_A_MODEL = ("vlm", "blind")
COMBOS = ("all", "seen", "unseen")
"""Which colour x shape pairs play: all, those that the bundled model was trained on, or only the others."""
ALTITUDES: tuple[str, ...] = get_args(Altitude)


@dataclass(frozen=True)
class Choice:
    """What is played. words: an instruction in free words that makes its own scene, or "" for one of the task's own.

    changes: (axis, strength) pairs, in the order of ``qwenarm.changes.checked``.
    """

    task: str = "put"
    level: int = 1
    arm: str = "panda"
    policy: str = "vlm"
    model: str = "bundled"
    altitude: str = "step"
    words: str = ""
    combos: str = "all"
    changes: Changes = ()

    def options(self) -> dict[str, Any]:
        """What of it the command line needs beside the scene."""
        model = {"model": self.model, "altitude": self.altitude} if self.policy in ASK_A_MODEL else {}
        combos = {} if self.combos == "all" else {"combos": self.combos}
        changes = {"changes": spell(self.changes)} if self.changes else {}
        return {"policy": self.policy, **model, **combos, **changes}


def make_env(choice: Choice) -> ArmEnv:
    """The environment. Raises UnknownName and BadInput with the valid choices."""
    from qwenarm.env import ArmEnv

    words, combos = choice.words or None, allowed_combos(choice.combos)
    task, arm, level = choice.task, choice.arm, choice.level
    return ArmEnv(task, arm, level, cameras=(), words=words, combos=combos, changes=choice.changes)


def allowed_combos(name: str) -> Combos | None:
    """The colour x shape pairs of one of COMBOS, None for all of them. Raises UnknownName."""
    from qwenarm.body.objects import COLORS, HELD_OUT, SHAPES

    if name not in COMBOS:
        raise UnknownName("choice of combinations", name, COMBOS)
    seen = frozenset((color, shape) for color in COLORS for shape in SHAPES) - HELD_OUT
    return {"all": None, "seen": seen, "unseen": HELD_OUT}[name]


def make_backend(choice: Choice) -> Backend | None:
    """The model, or None for a policy that asks none. Raises ModelUnavailable."""
    if choice.policy not in POLICIES:
        raise UnknownName("policy", choice.policy, POLICIES)
    if choice.altitude not in ALTITUDES:
        raise UnknownName("altitude", choice.altitude, ALTITUDES)
    if choice.policy not in ASK_A_MODEL:
        return None
    from qwenarm.mind.model import open_model

    return open_model(choice.model)


def make_policy(choice: Choice, env: ArmEnv, seed: int, backend: Backend | None) -> Policy:
    """The policy for one episode."""
    if backend is None:
        return baselines.make_baseline(choice.policy, env, seed)
    from qwenarm.mind.policies import Blind, VlmPolicy
    from qwenarm.skills import specs

    policy = VlmPolicy(backend, specs(), backend.preset, choice.altitude)
    return Blind(policy) if choice.policy == "blind" else policy


def perform(choice: Choice, seed: int, backend: Backend | None, watchers: Sequence[Watcher] = ()) -> Play:
    """One episode from nothing to nothing: its environment is made when it begins and closed when it ends."""
    env = make_env(choice)
    try:
        policy = make_policy(choice, env, seed, backend)
        setup = {"options": choice.options(), "words": choice.words}
        return (yield from play(env, policy, seed, watchers, setup))
    finally:
        env.close()


def env_of(episode: Episode) -> ArmEnv:
    """An environment like the one in which an episode was recorded."""
    options, words = episode.setup.get("options", {}), episode.setup.get("words", "")
    combos, changes = options.get("combos", "all"), parse(options.get("changes", ""))
    return make_env(Choice(episode.task, episode.level, episode.arm, words=words, combos=combos, changes=changes))

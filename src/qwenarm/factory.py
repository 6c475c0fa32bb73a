"""From names to things: the environment, the model and the policy that a command line asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from qwenarm.body.cameras import cameras_named
from qwenarm.episode.clock import parse_clock
from qwenarm.episode.metrics import Metrics
from qwenarm.episode.rollout import Play, play
from qwenarm.errors import BadInput, UnknownName
from qwenarm.mind.prompt.presets import Altitude
from qwenarm.perturbations import Perturbations, parse, spell
from qwenarm.policies import Context, policy_entry
from qwenarm.types import Episode

if TYPE_CHECKING:
    from qwenarm.env import ArmEnv
    from qwenarm.episode.watchers import Watcher
    from qwenarm.mind.backends import Backend
    from qwenarm.mind.vlm_policy import Policy
    from qwenarm.tasks.core.task import Combos

COMBOS = ("all", "seen", "unseen")
"""Which colour x shape pairs play: all, those that the bundled model was trained on, or only the others."""
ALTITUDES: tuple[str, ...] = get_args(Altitude)
OTHER_SEEDS = 8
"""How many other seeds a privileged policy may look at, to find another instruction."""


@dataclass(frozen=True)
class RunConfig:
    """What is played. words: an instruction in free words that makes its own scene, or "" for one of the task's own.

    perturbations: (axis, strength) pairs, in the order of ``qwenarm.perturbations.checked``. clock: see ``clock.py``.
    cameras: what a model is shown, names with commas, or "" for those of its preset.
    """

    task: str = "put"
    level: int = 1
    arm: str = "panda"
    policy: str = "vlm"
    model: str = "bundled"
    altitude: str = "step"
    words: str = ""
    combos: str = "all"
    perturbations: Perturbations = ()
    clock: str = "paused"
    cameras: str = ""

    def options(self) -> dict[str, Any]:
        """What of it the command line needs beside the scene."""
        model = {"model": self.model, "altitude": self.altitude} if policy_entry(self.policy).needs_model else {}
        model |= {"cameras": self.cameras} if model and self.cameras else {}
        combos = {} if self.combos == "all" else {"combos": self.combos}
        perturbations = {"perturbations": spell(self.perturbations)} if self.perturbations else {}
        clock = {} if self.clock == "paused" else {"clock": self.clock}
        return {"policy": self.policy, **model, **combos, **perturbations, **clock}


def make_env(config: RunConfig) -> ArmEnv:
    """The environment. Raises UnknownName and BadInput with the valid choices."""
    from qwenarm.env import ArmEnv

    words, combos = config.words or None, allowed_combos(config.combos)
    task, arm, level = config.task, config.arm, config.level
    return ArmEnv(task, arm, level, cameras=(), words=words, combos=combos, perturbations=config.perturbations)


def allowed_combos(name: str) -> Combos | None:
    """The colour x shape pairs of one of COMBOS, None for all of them. Raises UnknownName."""
    from qwenarm.body.objects.markings import COLORS
    from qwenarm.body.objects.spec import HELD_OUT, SHAPES

    if name not in COMBOS:
        raise UnknownName("choice of combinations", name, COMBOS)
    seen = frozenset((color, shape) for color in COLORS for shape in SHAPES) - HELD_OUT
    return {"all": None, "seen": seen, "unseen": HELD_OUT}[name]


def make_backend(config: RunConfig) -> Backend | None:
    """The model, or None for a policy that asks none. Raises UnknownName, BadInput and ModelUnavailable."""
    entry = policy_entry(config.policy)
    if config.altitude not in ALTITUDES:
        raise UnknownName("altitude", config.altitude, ALTITUDES)
    parse_clock(config.clock)
    cameras_named(config.cameras)
    if not entry.needs_model:
        return None
    from qwenarm.mind.open_model import open_model

    return open_model(config.model)


def make_policy(config: RunConfig, env: ArmEnv, seed: int, backend: Backend | None) -> Policy:
    """The policy for one episode. It is given the model and the environment only if its entry asks for them."""
    entry = policy_entry(config.policy)
    model = backend if entry.needs_model else None
    if not entry.privileged:
        return entry.make(Context(config, seed, model))
    return entry.make(Context(config, seed, model, env, lambda: _next_seeds(config, seed)))


def _next_seeds(config: RunConfig, seed: int) -> Iterator[ArmEnv]:
    """The same task with the seeds that follow, one at a time."""
    env = make_env(config)
    for other in range(seed + 1, seed + 1 + OTHER_SEEDS):
        env.reset(seed=other)
        yield env


def check_playable(config: RunConfig, seed: int) -> None:
    """Raises UnknownName or BadInput for an episode that cannot be played."""
    with closing(make_env(config)) as env:
        env.reset(seed=seed)
        if policy_entry(config.policy).needs_goal and env.setup.goal is None:
            raise BadInput(f"The {config.policy} needs a goal, and nobody can judge this one: {env.setup.unjudged}.")


def assumed(described: Mapping[str, Any]) -> str:
    """What had to be assumed of a policy that tells this of itself, for the user to hear; "" for nothing."""
    if not str(described.get("family_from", "")).startswith("assumed"):
        return ""
    model, family = described["model"], described["family"]
    return f"{model!r} is not the name of a published model: read as {family}; say otherwise with ,family=..."


def perform(
    config: RunConfig,
    seed: int,
    backend: Backend | None,
    watchers: Sequence[Watcher] = (),
    setup: Mapping[str, Any] | None = None,
) -> Play:
    """One episode from nothing to nothing: its environment is made when it begins and closed when it ends.

    setup: what else shall be recorded.
    """
    env = make_env(config)
    try:
        policy = make_policy(config, env, seed, backend)
        kept = {"options": config.options(), "words": config.words, **(setup or {})}
        return (yield from play(env, policy, seed, [Metrics(), *watchers], kept, config.clock))
    finally:
        env.close()


def env_of(episode: Episode) -> ArmEnv:
    """An environment like the one in which an episode was recorded."""
    return make_env(config_of(episode))


def config_of(episode: Episode) -> RunConfig:
    """What was chosen when an episode was recorded."""
    options = dict(episode.setup.get("options", {}))
    perturbations = parse(options.pop("perturbations", ""))
    words = episode.setup.get("words", "")
    return RunConfig(episode.task, episode.level, episode.arm, words=words, perturbations=perturbations, **options)

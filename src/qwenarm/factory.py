"""Makes the environment, the model and the policy from the names on a command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qwenarm import MAX_EPISODE_STEPS
from qwenarm.body.cameras import cameras_named
from qwenarm.episode.clock import parse_clock
from qwenarm.episode.drive import answered
from qwenarm.episode.metrics import Metrics
from qwenarm.episode.rollout import Play, play
from qwenarm.errors import BadInput, UnknownName
from qwenarm.mind.checkpoints.load import BUNDLED_MODEL
from qwenarm.mind.prompt.presets import CHUNK_ALTITUDE, MODEL_ALTITUDES
from qwenarm.policies import Context, policy_entry
from qwenarm.registry import list_names, split_names
from qwenarm.tasks.language.language import LANGUAGE_NAMES, guess_language
from qwenarm.types import RunConfig, RunInfo

if TYPE_CHECKING:
    from qwenarm.env import ArmEnv
    from qwenarm.episode.watchers import Watcher
    from qwenarm.mind.backends import Backend
    from qwenarm.mind.vlm_policy import Policy
    from qwenarm.tasks.core.goal import Setup
    from qwenarm.tasks.core.task import Combos

COMBINATION_SETS = ("all", "seen", "unseen")
"""The (colour, shape) pairs that may appear: all, those that the bundled model was trained on, or only the others."""
FOREIGN_CONTROLS = ("osc",)
"""What may play in place of our arm: LIBERO's own arm with robosuite's controller OSC_POSE, in LIBERO's environment."""
ANYWAY_HINT = "To play it all the same, add --anyway (anyway=True)."
CHUNK_POLICIES = ("vlm", "blind", "wrong_words")
"""The policies that can ask a model with a chunk head."""
MAX_OTHER_SEEDS = 8
"""Maximum number of other seeds in which a privileged policy may look for another instruction."""


def make_env(config: RunConfig) -> ArmEnv:
    """The environment. Raises UnknownName and BadInput with the valid choices."""
    if config.control:
        return _make_osc_env(config)
    from qwenarm.env import ArmEnv

    words, combos = config.words or None, allowed_combos(config.combos)
    return ArmEnv(
        config.task,
        config.arm,
        config.level,
        cameras=(),
        words=words,
        combos=combos,
        perturbations=config.perturbations,
        extra_cameras=split_names(config.cameras, "--cameras"),
    )


def _make_osc_env(config: RunConfig) -> ArmEnv:
    """LIBERO's own environment, for policies of 20 Hz actions. Raises BadInput for anything that it does not have."""
    from qwenarm.libero.osc import OscEnv

    if config.control not in FOREIGN_CONTROLS:
        raise UnknownName("control", config.control, FOREIGN_CONTROLS)
    if not policy_entry(config.policy).plays_actions:
        raise BadInput(f"--control osc is for policies of 20 Hz actions, behind ws:// or zmq://, not {config.policy}.")
    usual = RunConfig(config.task, config.level, policy=config.policy, clock=config.clock, control=config.control)
    if (odd := replace(config, model=usual.model, altitude=usual.altitude)) != usual:
        given = [f"--{name}" for name, value in vars(odd).items() if value != getattr(usual, name)]
        raise BadInput(f"--control osc plays LIBERO's own arm in its own scenes, without {', '.join(given)}.")
    return OscEnv(config.task, config.level)


def allowed_combos(name: str) -> Combos | None:
    """Returns the (colour, shape) pairs of one of COMBINATION_SETS, or None for all. Raises UnknownName."""
    from qwenarm.body.objects.markings import COLOR_RGB
    from qwenarm.body.objects.spec import HELD_OUT, OBJECT_SHAPES

    if name not in COMBINATION_SETS:
        raise UnknownName("choice of combinations", name, COMBINATION_SETS)
    seen = frozenset((color, shape) for color in COLOR_RGB for shape in OBJECT_SHAPES) - HELD_OUT
    return {"all": None, "seen": seen, "unseen": HELD_OUT}[name]


def make_backend(config: RunConfig) -> Backend | None:
    """The model, or None for a policy that asks none. Raises UnknownName, BadInput and ModelUnavailable."""
    check_choices(config)
    if not policy_entry(config.policy).needs_model:
        return None
    if config.altitude == CHUNK_ALTITUDE:
        from qwenarm.mind.chunks import ChunkModel

        return ChunkModel(config.model)
    from qwenarm.mind.open_model import open_model

    return open_model(config.model)


def check_choices(config: RunConfig) -> None:
    """Raises UnknownName or BadInput for a policy, clock, altitude or cameras that do not exist or go together."""
    entry = policy_entry(config.policy)
    parse_clock(config.clock)
    recorded_without_model = not config.altitude and not entry.needs_model  # see RunConfig.without_model
    if config.altitude not in MODEL_ALTITUDES and not recorded_without_model:
        raise UnknownName("altitude", config.altitude, MODEL_ALTITUDES)
    cameras_named(split_names(config.cameras, "--cameras"))
    if entry.needs_model and config.altitude == CHUNK_ALTITUDE:
        if config.cameras:
            raise BadInput("The altitude chunk has the cameras of its head; leave out --cameras.")
        if config.policy not in CHUNK_POLICIES:
            raise BadInput(f"The altitude chunk reads no scene as text. Policies: {', '.join(CHUNK_POLICIES)}.")


def make_policy(config: RunConfig, env: ArmEnv, seed: int, backend: Backend | None) -> Policy:
    """Makes the policy for one episode. It gets the model and the environment only if its entry asks for them."""
    entry = policy_entry(config.policy)
    model = backend if entry.needs_model else None
    if not entry.privileged:
        return entry.make(Context(config, seed, model))
    return entry.make(Context(config, seed, model, env, lambda: _next_seeds(config, seed)))


def _next_seeds(config: RunConfig, seed: int) -> Iterator[ArmEnv]:
    """Yields the same task with the seeds that follow, one at a time."""
    with closing(make_env(config)) as env:
        for other in range(seed + 1, seed + 1 + MAX_OTHER_SEEDS):
            env.reset(seed=other)
            yield env


def prepare(config: RunConfig, seed: int, anyway: bool = False) -> Setup:
    """Returns what a run plays: its scene, goal and instruction. Nothing is compiled or rendered, and no model is
    loaded.

    Args:
        config: What is played.
        seed: The scene's seed.
        anyway: Whether to play an instruction even if its success cannot be judged.

    Raises:
        UnknownName, BadInput: It cannot be played; the message names the valid choices.
    """
    check_choices(config)
    setup = make_env(config).build(seed)
    if setup.goal is not None:
        return setup
    needs_goal = policy_entry(config.policy).needs_goal
    if anyway and not needs_goal:
        return setup
    if config.words in list_names("tasks"):
        raise BadInput(f"{config.words!r} is the name of a task: play it with --task {config.words} (task=...).")
    from qwenarm.tasks.language.free_task import suggestions

    offered = ", ".join(f"'{wish}'" for wish in suggestions(config.words))
    hint = f"The {config.policy} needs a goal." if needs_goal else ANYWAY_HINT
    raise BadInput(f"Nobody can judge this, and nothing was moved: {setup.unjudged}. What works: {offered}. {hint}")


def assumed(described: Mapping[str, Any], instruction: str = "") -> str:
    """Returns what a user should know about a policy with this description, as a sentence; "" for nothing: what had to
    be assumed, and that the bundled model was not trained on the language of the instruction."""
    model, family, told = described.get("model"), described.get("family"), []
    if str(described.get("family_from", "")).startswith("assumed"):
        told.append(f"{model!r} is not the name of a published model: read as {family}; say otherwise with ,family=...")
    if described.get("enforced") is False:
        told.append(f"The server of {model!r} does not enforce constrain={described['constrain']}; answers are free.")
    if added := described.get("server_may_add"):
        told.append(f"The server of {model!r} may add its own {', '.join(added)}: it refuses to be told.")
    if model == BUNDLED_MODEL and (language := guess_language(instruction)) != "en":
        told.append(f"The bundled model was trained on English alone, not on {LANGUAGE_NAMES[language]}.")
    return " ".join(told)


def counting_periods(setup: Setup) -> Setup:
    """The same for a policy of 20 Hz actions, which has a minute unless the task says how long."""
    return replace(setup, max_periods=setup.max_periods or MAX_EPISODE_STEPS)


def perform(
    config: RunConfig,
    seed: int,
    backend: Backend | None,
    watchers: Sequence[Watcher] = (),
    suite: str = "",
    setup: Setup | None = None,
) -> Play:
    """One episode, with an environment that is made when it begins and closed when it ends.

    Args:
        config: What is played.
        seed: The scene's seed.
        backend: The model, for a policy that asks one.
        watchers: Told of every event, after ``Metrics``.
        suite: To be recorded with an episode of an evaluation.
        setup: What is played, if ``prepare`` has returned it already. It can be played once.
    """
    env = make_env(config)
    try:
        policy = make_policy(config, env, seed, backend)
        entry = policy_entry(config.policy)
        run = RunInfo(config if entry.needs_model else config.without_model(), seed, suite)
        if entry.plays_actions or (entry.needs_model and config.altitude == CHUNK_ALTITUDE):
            setup = counting_periods(setup or env.build(seed))
        playing = play(env, policy, run, [Metrics(), *watchers], setup=setup)
        if entry.plays_actions:
            return answered(playing, policy.backend)  # type: ignore[attr-defined]  # as its entry promises
        return (yield from playing)
    finally:
        env.close()

"""An open Qwen-VL model looks at a simulated table, decides, and drives a MuJoCo arm.

    import qwenarm as qa

    episode = qa.run("put the red cube in the blue bowl", seed=3)
    print(qa.evaluate("oracle", tasks="put,stack", seeds=20))

Importing this package registers the Gymnasium ids (``qwenarm/Put-v0``, one for each task) and loads neither mujoco nor
torch: both wait until something is simulated or asked.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gymnasium.envs.registration import register

from qwenarm.registry import list_names

if TYPE_CHECKING:
    from qwenarm import tasks
    from qwenarm.api.episodes import Film, PlayedEpisode, load_model, make_env, run
    from qwenarm.api.evaluations import Evaluation, evaluate
    from qwenarm.types import Decision, Episode, ImagePoint, Observation, Outcome, RunConfig, SkillCall, Turn

__version__ = "0.1.0"
MAX_EPISODE_STEPS = 1200
"""Default number of control periods, one minute, after which an episode is truncated."""
__all__ = [
    "Decision", "Episode", "Evaluation", "Film", "ImagePoint", "Observation", "Outcome", "PlayedEpisode", "RunConfig",
    "SkillCall", "Turn", "evaluate", "load_model", "make_env", "run", "tasks",
]  # fmt: skip
_IN_API = {
    **dict.fromkeys(("Film", "PlayedEpisode", "load_model", "make_env", "run"), "qwenarm.api.episodes"),
    **dict.fromkeys(("Evaluation", "evaluate"), "qwenarm.api.evaluations"),
}


def __getattr__(name: str) -> Any:
    """Imports names on first use."""
    if name == "tasks":
        return import_module("qwenarm.tasks")
    if name not in __all__:
        raise AttributeError(f"module 'qwenarm' has no attribute {name!r}")
    return getattr(import_module(_IN_API.get(name, "qwenarm.types")), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def _register_tasks() -> None:
    """Registers one Gymnasium id per task. The environment's module is named, not imported, so this costs nothing."""
    for task in list_names("tasks"):
        name = task.title().replace("_", "")
        register(
            id=f"qwenarm/{name}-v0",
            entry_point="qwenarm.env:ArmEnv",
            kwargs={"task": task, "max_episode_steps": None},  # counted by the wrapper that gymnasium.make adds
            max_episode_steps=MAX_EPISODE_STEPS,
        )


_register_tasks()

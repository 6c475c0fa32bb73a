"""An open Qwen-VL model looks at a simulated table, decides, and drives a MuJoCo arm.

Importing this package registers the Gymnasium ids (``qwenarm/Put-v0``, one per file in ``tasks/``) and loads neither
mujoco nor torch: both wait until something is really simulated or asked.
"""

from gymnasium.envs.registration import register

from qwenarm.registry import list_names

__version__ = "0.1.0"


def _register_tasks() -> None:
    """One Gymnasium id per task. The environment's module is named, not imported, so this costs nothing."""
    for task in list_names("tasks"):
        name = task.title().replace("_", "")
        register(id=f"qwenarm/{name}-v0", entry_point="qwenarm.env:ArmEnv", kwargs={"task": task})


_register_tasks()

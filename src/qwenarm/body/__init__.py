"""The body: the simulated arm, its table and its cameras. Imports mujoco, never torch."""

import os

from qwenarm.errors import BadInput

try:
    import mujoco  # noqa: F401
except Exception as error:  # mujoco binds what MUJOCO_GL names as it is imported; OpenGL bindings raise what they like
    if not os.environ.get("MUJOCO_GL"):
        raise
    raise BadInput(
        f"MUJOCO_GL={os.environ['MUJOCO_GL']} cannot draw here: {type(error).__name__}: {error}. "
        "Unset it: qwenarm finds out by itself what can draw."
    ) from error

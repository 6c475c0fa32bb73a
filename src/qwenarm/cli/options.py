"""The options that several commands share, with their help."""

from __future__ import annotations

from typing import Annotated, Literal

from tyro.conf import arg

Listed = Literal["tasks", "arms", "models", "skills", "policies", "axes"]
Task = Annotated[str, arg(help="task, see `qwenarm list tasks`")]
Level = Annotated[int, arg(help="1 is the easiest; see `qwenarm list tasks`")]
Seed = Annotated[int, arg(help="same seed, same scene")]
ArmName = Annotated[str, arg(name="arm", help="robot arm, see `qwenarm list arms`")]
PolicyName = Annotated[str, arg(name="policy", help="vlm (a model decides) or a control, see `qwenarm list policies`")]
Model = Annotated[str, arg(help="bundled, a Hub id, a folder, a server's URL; see `qwenarm list models`")]
ClockName = Annotated[
    str, arg(name="clock", help="while the policy thinks the world is paused, runs on for latency:SECONDS, or wall")
]
Altitude = Annotated[str, arg(help="step (the model is asked for its next call) or plan (for all of them)")]

Cameras = Annotated[
    str, arg(name="cameras", help="what the model is shown: front,overhead,wrist; default: as it was made for")
]
Changed = Annotated[str, arg(name="perturbations", help="what is otherwise: look:2,words:1; see `qwenarm list axes`")]

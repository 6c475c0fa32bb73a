"""The options that several commands share, with their help."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import tyro

from qwenarm.display.terminal import SafeConsole

out = SafeConsole()
EMPTY_DEFAULTS = ("", "''", "None", "()")
"""How tyro writes defaults that say nothing; the help text tells what happens without the option."""


def arg(**options: Any) -> Any:
    """Returns tyro's description of an option, without a default that says nothing."""
    return tyro.conf.arg(help_behavior_hint=_default_hint, **options)


def _default_hint(default: str) -> str:
    return "" if default in EMPTY_DEFAULTS else f"(default: {default})"


Listed = Literal["tasks", "arms", "cameras", "models", "skills", "policies", "perturbations"]
Task = Annotated[str, arg(metavar="TASK", help="a task, see `qwenarm list tasks`, or module:NAME")]
Level = Annotated[int, arg(help="difficulty; 1 is the easiest level")]
Seed = Annotated[int, arg(help="the same seed gives the same scene")]
ArmName = Annotated[
    str,
    arg(name="arm", metavar="ARM", help="a robot arm, see `qwenarm list arms`, an MJCF or URDF file, or module:NAME"),
]
PolicyName = Annotated[
    str, arg(name="policy", metavar="POLICY", help="who decides: vlm (a model) or another, see `qwenarm list policies`")
]
Model = Annotated[
    str, arg(metavar="MODEL", help="bundled, a Hub id, a folder, or a server's URL; see `qwenarm list models`")
]
ClockName = Annotated[
    str,
    arg(
        name="clock",
        metavar="CLOCK",
        help="the world while the policy thinks: paused, latency:SECONDS (runs on that long), or wall",
    ),
]
ControlName = Annotated[
    str,
    arg(
        name="control",
        metavar="CONTROL",
        help="osc: LIBERO's own arm and controller, for its tasks and policies of 20 Hz actions",
    ),
]
Altitude = Annotated[
    str,
    arg(
        metavar="{step,plan,chunk}",
        help="step (the model is asked for one call at a time), plan (for all calls) or chunk (for 20 Hz motions)",
    ),
]

Allowed = Annotated[
    str,
    arg(
        name="allow",
        metavar="NAMES",
        help="code (module:NAME) and servers (URL) that only recorded data names and you trust",
    ),
]
Cameras = Annotated[
    str,
    arg(
        name="cameras",
        metavar="CAMERAS",
        help="cameras the model sees, such as front,wrist, see `qwenarm list cameras`; default: those it was made for",
    ),
]
Perturbed = Annotated[
    str,
    arg(
        name="perturbations",
        metavar="NAME:STRENGTH",
        help="perturbations with strengths 1 to 3, such as look:2,words:1; see `qwenarm list perturbations`",
    ),
]

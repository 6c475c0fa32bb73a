"""The options that several commands share, with their help."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import tyro

from qwenarm.display.terminal import SafeConsole

out = SafeConsole()
EMPTY_DEFAULTS = ("", "''", "None", "()")
"""How tyro writes defaults that say nothing; the help text tells what happens without the option."""
SWITCHES = {"True": "yes", "False": "no"}


def arg(**options: Any) -> Any:
    """Returns tyro's description of an option, without a default that says nothing."""
    return tyro.conf.arg(help_behavior_hint=_default_hint, **options)


def _default_hint(default: str) -> str:
    return "" if default in EMPTY_DEFAULTS else f"(default: {SWITCHES.get(default, default)})"


Listed = Literal["tasks", "arms", "cameras", "models", "skills", "policies", "perturbations"]
Task = Annotated[str, arg(metavar="TASK", help="a task (see `qwenarm list tasks`), or your own as module:NAME")]
Level = Annotated[int, arg(help="difficulty, from 1; most tasks have 3 levels")]
Seed = Annotated[int, arg(help="number of the scene: the same seed gives the same scene")]
ArmName = Annotated[
    str,
    arg(name="arm", metavar="ARM", help="a robot arm (see `qwenarm list arms`), an MJCF or URDF file, or module:NAME"),
]
PolicyName = Annotated[
    str,
    arg(
        name="policy",
        metavar="POLICY",
        help="who decides: vlm (the model), oracle, or another (see `qwenarm list policies`)",
    ),
]
Model = Annotated[
    str, arg(metavar="MODEL", help="bundled, a Hub id, a folder, or a server's URL; see `qwenarm list models`")
]
TrainedModel = Annotated[
    str, arg(metavar="MODEL", help="a small model to begin with: bundled, or a checkpoint's folder")
]
ClockName = Annotated[
    str,
    arg(
        name="clock",
        metavar="CLOCK",
        help="the world while the policy thinks: paused, latency:SECONDS (runs on that long), or wall (real time)",
    ),
]
ControlName = Annotated[
    str,
    arg(
        name="control",
        metavar="CONTROL",
        help="osc: LIBERO's own arm and controller, for its tasks and 20 Hz policies; default: our arm",
    ),
]
Altitude = Annotated[
    str,
    arg(
        metavar="{step,plan,chunk}",
        help="what the model is asked for: step (one skill call), plan (all calls at once) or chunk (20 Hz motions)",
    ),
]

Combinations = Annotated[
    str,
    arg(
        metavar="{all,seen,unseen}",
        help="colour and shape pairs: all, seen (the others stay held out), or unseen; default: seen, or all where "
        "scenes are not made of such pairs (LIBERO's)",
    ),
]
PlayingWorkers = Annotated[int, arg(help="number of processes, each with its own model and renderer")]
EpisodeBatch = Annotated[
    int, arg(help="episodes that each process plays in lockstep, with their prompts answered together")
]
RecognizerName = Annotated[
    str,
    arg(
        metavar="RECOGNIZER",
        help="speech recogniser: pocketsphinx, a checkpoint's folder or Hub id, or a server's URL#MODEL",
    ),
]
Allowed = Annotated[
    str,
    arg(
        name="allow",
        metavar="NAMES",
        help="what recorded files may import (module:NAME) or call (URL); name only what you trust; default: nothing",
    ),
]
Cameras = Annotated[
    str,
    arg(
        name="cameras",
        metavar="CAMERAS",
        help="cameras the model sees, such as front,wrist; see `qwenarm list cameras`; default: the policy's own",
    ),
]
Perturbed = Annotated[
    str,
    arg(
        name="perturbations",
        metavar="NAME:STRENGTH",
        help="perturbations with strengths 1 to 3, such as look:2,words:1; see `qwenarm list perturbations`; "
        "default: none",
    ),
]

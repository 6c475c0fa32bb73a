"""What is played of one of the tasks that a training run is given, and how its data says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qwenarm.perturbations import spell
from qwenarm.registry import load
from qwenarm.types import RunConfig

UNCHOSEN = ""
"""Stands for no choice of colour and shape pairs, see ``COMBINATION_SETS``."""


def described(config: RunConfig) -> dict[str, Any]:
    """Returns what the head of an archive of demonstrations says about how they were played."""
    names = ("task", "level", "arm", "altitude", "policy", "model", "combos")
    return {name: getattr(config, name) for name in names} | {"perturbations": spell(config.perturbations)}


def task_config(config: RunConfig, task: str) -> RunConfig:
    """Returns the config for a task.

    Where no combinations were chosen it has "seen", so that the others stay held out, or "all" for scenes of other
    packages, which are not made of colours and shapes.

    Raises:
        UnknownName: There is no such task.
    """
    combos = config.combos or ("all" if load("tasks", task).scenes_of else "seen")
    return replace(config, task=task, combos=combos)

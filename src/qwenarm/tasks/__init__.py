"""Tasks, one file or folder each: scenes, instructions, success criterion and solution.

Importing this package loads no task; the names below are resolved on first use. The package itself can be called:
``qwenarm.tasks()`` lists the shipped tasks.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from qwenarm.registry import describe, list_names

if TYPE_CHECKING:
    from qwenarm.tasks.core.events import InstructionUpdates, LiftCounter, Phrase, RisingWall
    from qwenarm.tasks.core.goal import Arrange, Event, Goal, MoveGoal, Relation, Restating, Setup, Sort
    from qwenarm.tasks.core.oracle import NotVisible, oracle_call, oracle_point, points_in_note
    from qwenarm.tasks.core.planning import (
        CalledObject,
        Move,
        PlacesNote,
        WorldPoint,
        image_u,
        left_to_right,
        plan_moves,
    )
    from qwenarm.tasks.core.task import STACKABLE_SHAPES, Combos, SceneBuilder, Task
    from qwenarm.tasks.language.free_task import free_setup

_MODULES = {
    "core.events": ("InstructionUpdates", "LiftCounter", "Phrase", "RisingWall"),
    "core.goal": ("Arrange", "Event", "Goal", "MoveGoal", "Relation", "Restating", "Setup", "Sort"),
    "core.oracle": ("NotVisible", "oracle_call", "oracle_point", "points_in_note"),
    "core.planning": ("CalledObject", "Move", "PlacesNote", "WorldPoint", "image_u", "left_to_right", "plan_moves"),
    "core.task": ("STACKABLE_SHAPES", "Combos", "SceneBuilder", "Task"),
    "language.free_task": ("free_setup",),
}
__all__ = [
    "STACKABLE_SHAPES", "Arrange", "CalledObject", "Combos", "Event", "Goal", "InstructionUpdates", "LiftCounter",
    "Move", "MoveGoal", "NotVisible", "Phrase", "PlacesNote", "Relation", "Restating", "RisingWall", "SceneBuilder",
    "Setup", "Sort", "Task", "WorldPoint", "free_setup", "image_u", "left_to_right", "oracle_call", "oracle_point",
    "plan_moves", "points_in_note",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Tasks(ModuleType):
    def __call__(self) -> dict[str, str]:
        """Returns the shipped tasks by name, each with a one-line description.

        Example:
            >>> for name, about in qa.tasks().items():
            ...     print(name, about)
        """
        return {name: describe("tasks", name) for name in list_names("tasks")}


sys.modules[__name__].__class__ = _Tasks

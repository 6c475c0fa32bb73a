"""What is wanted of the arm. One file a task: how its scenes are made, when it is fulfilled, how it could be solved.

``oracle_point`` and ``oracle_call`` turn a solver's symbolic steps into calls with image points, from privileged state.
Importing this package loads none of it: the names below are looked up when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwenarm.tasks.core.goal import Arrange, Goal, Happening, Relation, Setup, Sort
    from qwenarm.tasks.core.oracle import NotSeen, oracle_call, oracle_point
    from qwenarm.tasks.core.task import Cast, Combos, Task
    from qwenarm.tasks.language.free_task import free_setup

_HOMES = {
    "core.task": ("Cast", "Combos", "Task"),
    "language.free_task": ("free_setup",),
    "core.goal": ("Arrange", "Goal", "Happening", "Relation", "Setup", "Sort"),
    "core.oracle": ("NotSeen", "oracle_call", "oracle_point"),
}
__all__ = [
    "Arrange", "Cast", "Combos", "Goal", "Happening", "NotSeen", "Relation", "Setup", "Sort", "Task",
    "free_setup", "oracle_call", "oracle_point",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

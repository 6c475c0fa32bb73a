"""LIBERO's suites as task families: level 3 of "libero_object" is its third task, and the seed draws one of the task's
initial states."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache, partial
from typing import Any

from qwenarm.body.reach import Reach
from qwenarm.body.scene import Scene
from qwenarm.errors import BadInput, OutOfReach
from qwenarm.libero.goal import LiberoGoal, Predicate
from qwenarm.libero.package import LiberoTask, parse_problem, tasks_of
from qwenarm.libero.scene import scene_of
from qwenarm.tasks.core.goal import Setup, initial_state
from qwenarm.tasks.core.task import SceneBuilder, Task

TURNS_PER_MOVE = 6
MISSING_SKILLS = {
    "open": "opening a drawer",
    "close": "closing a drawer or a door",
    "turnon": "turning a knob",
    "turnoff": "turning a knob",
}
"""What no skill does, by the predicate that asks for it."""
CLOSED_FIXTURES = ("cabinet", "microwave")
"""Last words of the categories of furniture with drawers or doors, into which no skill reaches."""


@cache
def make_entry(suite: str) -> Task:
    """Returns the family of a suite. Raises UnknownName, or BadInput if the package is not installed."""
    tasks = tasks_of(suite)
    levels = tuple(task.instruction for task in tasks)
    about, rims = f"LIBERO's suite {suite}, played by our arm.", "its bowls and plates are taken by their rims"
    return Task(suite, about, levels, partial(_make, tasks), needs_fingers=rims, scenes_of="LIBERO")


def _make(tasks: tuple[LiberoTask, ...], builder: SceneBuilder, level: int) -> Setup:
    """Builds one episode. Raises BadInput for a task that no skill can do."""
    task = tasks[level - 1]
    parsed = parse_problem(task.bddl)
    predicates = tuple(tuple(predicate) for predicate in parsed["goal_state"])
    states = task.initial_states()
    initial = states[builder.rng.integers(len(states))]
    skill = "push" if task.instruction.startswith("push") else "place"
    scene, goal = scene_of(task.bddl, initial), LiberoGoal(task.bddl, initial, predicates, skill)
    if missing := _missing_skill(parsed, goal.open_predicates(initial_state(scene))):
        raise BadInput(f"Level {level} of {task.suite}, '{task.instruction}', needs {missing}, which no skill does.")
    if builder.reach is not None:
        _check_reach(scene, {name for _, *things in predicates for name in things}, builder.reach)
    return Setup(scene, goal, task.instruction, TURNS_PER_MOVE * len(predicates) + 2)


def _check_reach(scene: Scene, named: Collection[str], reach: Reach) -> None:
    """Raises OutOfReach if an object that the goal names stands where the arm does not reach."""
    for placement in scene.objects:
        if placement.spec.id in named and placement.pos[:2] not in reach:
            raise OutOfReach(f"the {placement.spec.name} stands where this arm does not reach")


def _missing_skill(parsed: Mapping[str, Any], predicates: Sequence[Predicate]) -> str:
    """Returns what a task needs that no skill does, or "". ``predicates`` do not hold yet."""
    fixtures = parsed["fixtures"].items()
    closed = {name for category, names in fixtures if category.endswith(CLOSED_FIXTURES) for name in names}
    for name, *things in predicates:
        if name in MISSING_SKILLS:
            return MISSING_SKILLS[name]
        if name == "in" and parsed["regions"].get(things[-1], {}).get("target") in closed:
            return "reaching into furniture"
    return ""

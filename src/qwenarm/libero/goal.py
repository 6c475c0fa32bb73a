"""LIBERO's goals: its own predicates, asked of its own model in the poses of ours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import mujoco
import numpy as np

from qwenarm.body.state import WorldState
from qwenarm.libero.package import problem_of
from qwenarm.libero.scene import joint_of, shift_of
from qwenarm.tasks.core.goal import MoveGoal
from qwenarm.tasks.core.planning import Move, WorldPoint
from qwenarm.types import SkillCall

Predicate = tuple[str, ...]
"""("in" or "on", object, region or object), as in a BDDL file."""


@dataclass(frozen=True)
class LiberoGoal(MoveGoal):
    """All predicates of a problem hold.

    A state is judged by LIBERO: its objects are put where ours are, in LIBERO's own model, and its contacts are found
    anew. So the judgement depends on the state alone, and on nothing that our arm or our solver did.

    Attributes:
        bddl: Path of the problem.
        initial: (1 + nq + nv,) initial state, for what is not an object: drawers, knobs and LIBERO's own arm.
        predicates: What must hold.
        skill: "place", or "push" where the instruction asks for that.
    """

    bddl: str
    initial: np.ndarray = field(repr=False, compare=False)
    predicates: tuple[Predicate, ...]
    skill: str = "place"

    def success(self, state: WorldState) -> bool:
        """Returns whether LIBERO's predicates hold. Unlike our own tasks, LIBERO does not ask whether the hand is
        empty and everything at rest.
        """
        return not self.open_predicates(state)

    def remaining(self, state: WorldState) -> list[Move]:
        moves = [predicate for predicate in self.open_predicates(state) if len(predicate) == 3]
        return [(what, self._place(where)) for _, what, where in moves]

    def steps(self, state: WorldState, remaining: Sequence[Move]) -> tuple[float, float]:
        begun = 0.5 if remaining and state.holding == remaining[0][0] else 0.0
        return len(self.predicates) - len(remaining) + begun, len(self.predicates)

    def solve(self, state: WorldState) -> list[SkillCall]:
        if self.skill == "place":
            return super().solve(state)
        pushes = [SkillCall(self.skill, {"at": what, "to": where}) for what, where in self.remaining(state)]
        return [*pushes, SkillCall("done")]

    def open_predicates(self, state: WorldState) -> list[Predicate]:
        """Returns the predicates that do not hold."""
        problem = problem_of(self.bddl)
        model, data = problem.sim.model._model, problem.sim.data._data
        data.qpos[:] = self.initial[1 : 1 + model.nq]
        data.qvel[:] = 0.0
        for name, thing in state.objects.items():
            data.joint(joint_of(problem, name)).qpos = [*(thing.pos - shift_of(problem)), *thing.quat]
        mujoco.mj_forward(model, data)
        return [predicate for predicate in self.predicates if not problem._eval_predicate(predicate)]

    def _place(self, where: str) -> str | WorldPoint:
        """Returns an object, or the middle of a region of a fixture as a point."""
        problem = problem_of(self.bddl)
        if where in problem.objects_dict:
            return where
        site = problem.object_sites_dict[where]
        if site.parent_name in problem.objects_dict:
            return site.parent_name
        x, y, z = (problem.sim.data.get_site_xpos(where) + shift_of(problem)).tolist()
        return WorldPoint(x, y, re.sub(r"_\d+|_", " ", where).replace("  ", " "), z)

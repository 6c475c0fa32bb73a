"""Sub-goals that must come true one after the other."""

from __future__ import annotations

from dataclasses import dataclass

from qwenarm.body.simulation import Body
from qwenarm.body.state import WorldState
from qwenarm.tasks import Arrange, Relation, left_to_right
from qwenarm.types import SkillCall

CHECK_PERIODS = 4
"""Control periods between two checks of the current sub-goal: 0.2 s."""


@dataclass
class SubgoalTracker:
    """An event that counts the sub-goals as they come true in order.

    A sub-goal that holds before its turn has to be made true again.
    """

    goals: tuple[Arrange, ...]
    reached: int = 0
    was_open: bool = True  # whether the current sub-goal has been seen not to hold
    periods: int = 0

    def step(self, body: Body) -> str | None:
        self.periods += 1
        if self.periods % CHECK_PERIODS == 0 and self.reached < len(self.goals):
            self.check(body.state())
        return None

    def check(self, state: WorldState) -> None:
        """Counts the current sub-goal if it has come true."""
        holds = self.goals[self.reached].success(state)
        if holds and self.was_open:
            self.reached += 1
            self.was_open = self.reached < len(self.goals) and not self.goals[self.reached].success(state)
        elif state.holding is not None or not holds:
            self.was_open = True


@dataclass(frozen=True)
class InOrder:
    """All sub-goals came true in order, and those that no later one undoes hold in the end."""

    tracker: SubgoalTracker
    lasting: Arrange  # what holds in the end

    def success(self, state: WorldState) -> bool:
        return self.tracker.reached == len(self.tracker.goals) and self.lasting.success(state)

    def progress(self, state: WorldState) -> float:
        """Counts one step for each sub-goal that has come true in its turn, and part of a step for the next."""
        if self.success(state):
            return 1.0
        goals, reached = self.tracker.goals, self.tracker.reached
        begun = goals[reached].progress(state) if reached < len(goals) else 0.0
        return (reached + min(begun, 0.9)) / (len(goals) + 0.5)

    def solve(self, state: WorldState) -> list[SkillCall]:
        """Returns the calls for all remaining sub-goals, as far as can be planned, or to repair what came undone."""
        left = self.tracker.goals[self.tracker.reached :] or (self.lasting,)
        calls = Arrange(tuple(relation for goal in left for relation in _in_order(state, goal))).solve(state)
        return calls if len(calls) > 1 or self.success(state) else [SkillCall("look"), *calls]


def _in_order(state: WorldState, goal: Arrange) -> list[Relation]:
    """Returns the relations of one sub-goal, which may come true in any order, from left to right."""
    relations = {relation.what: relation for relation in goal.relations}
    return [relations[thing] for thing in left_to_right(state, relations)]

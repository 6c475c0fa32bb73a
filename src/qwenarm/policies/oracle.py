"""The task's own solver with the simulator's true positions: the best that skills and task allow."""

from __future__ import annotations

from qwenarm.errors import BadInput
from qwenarm.policies import Context, PolicyEntry
from qwenarm.policies.function import FunctionPolicy
from qwenarm.types import Decision, Observation, SkillCall, Turn

ORACLE_CAMERAS = ("front", "overhead")
"""The second camera is for what the first cannot see."""


def make(context: Context) -> FunctionPolicy:
    """Returns a policy that makes the solver's next call, pointing at the visible middle of each object.

    It gives up when no camera sees what it needs.
    """
    from qwenarm.tasks import NotVisible, oracle_call

    env = context.env

    def act(obs: Observation, history: tuple[Turn, ...]) -> Decision:
        goal = env.setup.goal
        if goal is None:
            raise BadInput("The oracle needs a goal, and this instruction could not be read as one.")
        steps = goal.solve(env.body.state())
        try:
            return Decision((oracle_call(env.body, steps[0], ORACLE_CAMERAS),), f"{len(steps)} to go")
        except NotVisible as error:
            return Decision((SkillCall("give_up", {"reason": str(error)}),), "what is needed has left the table")

    return FunctionPolicy("oracle", act, ORACLE_CAMERAS, facts={"privileged": True})


POLICY = PolicyEntry(make, privileged=True, needs_goal=True, control=True, under_perturbations=True)

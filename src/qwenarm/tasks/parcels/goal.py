"""When all parcels are where the rule sends them, and what has gone wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qwenarm.body.state import WorldState
from qwenarm.tasks import Move, MoveGoal, image_u, plan_moves
from qwenarm.tasks.parcels.conveyor import REACH_M
from qwenarm.types import SkillCall

FALLEN_HEIGHT_M = -0.02
"""What lies lower than this has fallen from the table."""


@dataclass(frozen=True)
class RouteParcels(MoveGoal):
    """Every parcel is in its place."""

    homes: tuple[tuple[str, str], ...]  # (parcel, container)
    belt_speed: float = 0.0  # m/s along y

    def remaining(self, state: WorldState) -> list[Move]:
        return [(parcel, place) for parcel, place in self.homes if not state.lies_in(parcel, place)]

    def steps(self, state: WorldState, remaining: Sequence[Move]) -> tuple[float, float]:
        """One step for each parcel in its place, and half a step for one in the hand."""
        begun = 0.5 if state.holding in dict(remaining) else 0.0
        return len(self.homes) - len(remaining) + begun, len(self.homes)

    def solve(self, state: WorldState) -> list[SkillCall]:
        """What is in the hand first, then what the belt will lose first, or else from left to right in the picture.

        Parcels out of reach are given up.
        """
        moves = [move for move in self.remaining(state) if not self._is_missed(state, move[0])]
        direction = -1 if self.belt_speed > 0 else 1
        moves.sort(key=lambda move: (move[0] != state.holding, direction * image_u(state[move[0]])))
        return plan_moves(state, moves)

    def measures(self, state: WorldState) -> dict[str, float]:
        """How many parcels are in their places, in a wrong one, carried out of reach by the belt, and fallen down.

        Also how many came to their places in a simulated minute, and the belt's speed in cm/s.
        """
        waiting = [parcel for parcel, _ in self.remaining(state)]
        routed = len(self.homes) - len(waiting)
        return {
            "routed": routed,
            "misrouted": sum(any(state.lies_in(parcel, place) for place in state.objects) for parcel in waiting),
            "missed": sum(self._is_missed(state, parcel) for parcel in waiting),
            "fallen": sum(state[parcel].bottom < FALLEN_HEIGHT_M for parcel in waiting),
            "per_minute": 60 * routed / state.time_s if state.time_s else 0.0,
            "belt_cm_s": 100 * abs(self.belt_speed),
        }

    def _is_missed(self, state: WorldState, parcel: str) -> bool:
        return self.belt_speed != 0 and abs(float(state[parcel].pos[1])) > REACH_M

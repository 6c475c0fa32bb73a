"""The goal of parcels: every parcel is where the rule sends it. Also measures what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qwenarm.body.state import WorldState
from qwenarm.tasks import Move, MoveGoal, image_u, plan_moves
from qwenarm.tasks.core.side_effects import FLOOR_HEIGHT_M
from qwenarm.tasks.parcels.conveyor import REACH_M
from qwenarm.types import SkillCall


@dataclass(frozen=True)
class RouteParcels(MoveGoal):
    """Every parcel is in its place."""

    homes: tuple[tuple[str, str], ...]  # (parcel, container)
    belt_speed: float = 0.0  # m/s along y

    def remaining(self, state: WorldState) -> list[Move]:
        return [(parcel, place) for parcel, place in self.homes if not state.lies_in(parcel, place)]

    def steps(self, state: WorldState, remaining: Sequence[Move]) -> tuple[float, float]:
        """Counts one step for each parcel in its place, and half a step for one in the hand."""
        begun = 0.5 if state.holding in dict(remaining) else 0.0
        return len(self.homes) - len(remaining) + begun, len(self.homes)

    def solve(self, state: WorldState) -> list[SkillCall]:
        """Moves the parcel in the hand first, then those that the belt loses first, or else from left to right in the
        image.

        Parcels out of reach are given up.
        """
        moves = [move for move in self.remaining(state) if not self._is_missed(state, move[0])]
        direction = -1 if self.belt_speed > 0 else 1
        moves.sort(key=lambda move: (move[0] != state.holding, direction * image_u(state[move[0]])))
        return plan_moves(state, moves)

    def measures(self, state: WorldState) -> dict[str, float]:
        """Returns how many parcels are in their place, in a wrong one, out of reach on the belt, and fallen off the
        table.

        Adds the number of parcels that reached their place per simulated minute, and the belt's speed in cm/s.
        """
        waiting = [parcel for parcel, _ in self.remaining(state)]
        routed = len(self.homes) - len(waiting)
        return {
            "routed": routed,
            "misrouted": sum(any(state.lies_in(parcel, place) for place in state.objects) for parcel in waiting),
            "missed": sum(self._is_missed(state, parcel) for parcel in waiting),
            "fallen": sum(state[parcel].bottom < FLOOR_HEIGHT_M for parcel in waiting),
            "per_minute": 60 * routed / state.time_s if state.time_s else 0.0,
            "belt_cm_s": 100 * abs(self.belt_speed),
        }

    def _is_missed(self, state: WorldState, parcel: str) -> bool:
        return self.belt_speed != 0 and abs(float(state[parcel].pos[1])) > REACH_M

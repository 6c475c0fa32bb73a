"""The goal of inspect: the bad parts are sorted out and reported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qwenarm.body.state import WorldState
from qwenarm.tasks import Move, MoveGoal, plan_moves
from qwenarm.tasks.inspect.verdict import last_verdict, verdicts
from qwenarm.types import SkillCall


@dataclass(frozen=True)
class Inspection(MoveGoal):
    """The bad parts are in the bin, no good part is in a container, and the right verdict was said."""

    parts: tuple[str, ...]  # ids from the left
    bad: tuple[str, ...]
    bin: str

    @property
    def verdict(self) -> frozenset[int]:
        """Numbers of the bad parts, from 1 on the left."""
        return frozenset(self.parts.index(i) + 1 for i in self.bad)

    def remaining(self, state: WorldState) -> list[Move]:
        """Returns the moves of good parts out of containers and of bad parts into the bin, a held part first."""
        out: list[Move] = [(i, None) for i in self._diverted_good_parts(state)]
        into: list[Move] = [(i, self.bin) for i in self.bad if not state.lies_in(i, self.bin)]
        return sorted(out + into, key=lambda move: move[0] != state.holding)

    def success(self, state: WorldState) -> bool:
        return super().success(state) and last_verdict(state.said) == self.verdict

    def steps(self, state: WorldState, remaining: Sequence[Move]) -> tuple[float, float]:
        """Counts one step for each bad part in the bin, half a step for one in the hand, and one for the verdict."""
        open_parts = [what for what, where in remaining if where is not None]
        begun = 0.5 if state.holding in open_parts else 0.0
        return len(self.bad) - len(open_parts) + begun + (last_verdict(state.said) == self.verdict), len(self.bad) + 1

    def solve(self, state: WorldState) -> list[SkillCall]:
        """Says the verdict before anything is moved, as long as the parts can be counted, and again at the end."""
        *moves, end = plan_moves(state, self.remaining(state))
        say = SkillCall("say", {"text": json.dumps({"bad": sorted(self.verdict)})})
        said = verdicts(state.said)
        noted = [] if said else [say]
        told = len(said) > bool(self.bad) and said[-1] == self.verdict
        return [*noted, *moves, *([] if told or (noted and not moves) else [say]), end]

    def misstated(self, call: SkillCall, rng: np.random.Generator) -> SkillCall:
        """Returns a verdict that is wrong about one part."""
        wrong = self.verdict ^ {int(rng.integers(len(self.parts))) + 1}
        return replace(call, args={"text": json.dumps({"bad": sorted(wrong)})})

    def measures(self, state: WorldState) -> dict[str, float]:
        """Returns precision and recall of the verdict, and how many parts were diverted.

        Both are 0 without a verdict, and 1 if nothing is bad and nothing was named.
        """
        said = last_verdict(state.said)
        hits = len((said or frozenset()) & self.verdict)
        return {
            "precision": 0.0 if said is None else hits / len(said) if said else float(not self.verdict),
            "recall": 0.0 if said is None else hits / len(self.verdict) if self.verdict else 1.0,
            "diverted": sum(state.lies_in(i, self.bin) for i in self.bad),
            "to_divert": len(self.bad),
            "good_diverted": len(self._diverted_good_parts(state)),
            "verdict": float(said is not None),
        }

    def _diverted_good_parts(self, state: WorldState) -> list[str]:
        good = [part for part in self.parts if part not in self.bad]
        return [part for part in good if any(state.lies_in(part, other) for other in state.objects)]

"""What the world does while a policy thinks: it waits, or it runs on for a fixed time, or for as long as that took.

``paused``, ``latency:S`` (S simulated seconds per decision) or ``wall``. While the world runs on the arm is held where
it was last sent, and what goes on by itself goes on. A fixed latency is as deterministic as no latency at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwenarm.body.safety import CONTROL_PERIOD_S
from qwenarm.errors import BadInput
from qwenarm.types import Completion, Turn

if TYPE_CHECKING:
    from qwenarm.body.simulation import Body
    from qwenarm.episode.watchers import Tell

VALID = "paused, latency:SECONDS as in latency:0.5, wall"
LONGEST_S = 600.0


@dataclass(frozen=True)
class Clock:
    """kind: "paused", "latency" or "wall". latency_s: simulated seconds per decision."""

    kind: str = "paused"
    latency_s: float = 0.0

    def thinking_s(self, said: Sequence[Completion], history: Sequence[Turn]) -> float:
        """Simulated seconds that a decision takes. said: what the model answered for it.

        The next call of a plan that was made before takes no time; the decision of a policy that asks no model takes as
        long as one that does, so that a control works under the same clock (at ``wall`` it takes none).
        """
        if self.kind == "wall":
            return sum(completion.seconds for completion in said)
        planned = not said and any(turn.completions for turn in history)
        return 0.0 if planned else self.latency_s

    def run_on(self, body: Body, seconds: float, tell: Tell) -> None:
        """Holds the arm for so long, in whole control periods (50 ms)."""
        for _ in range(math.ceil(round(seconds / CONTROL_PERIOD_S, 6))):
            body.step(body.hold())
            tell("stepped", body)


def parse_clock(text: str) -> Clock:
    """A clock by its text. Raises BadInput with the valid ones."""
    kind, colon, amount = text.partition(":")
    if text in ("paused", "wall"):
        return Clock(kind)
    try:
        seconds = float(amount) if kind == "latency" and colon else math.nan
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST_S:
        raise BadInput(f"There is no clock {text!r}. Valid: {VALID} (at most {LONGEST_S:g}).")
    return Clock(kind, seconds)

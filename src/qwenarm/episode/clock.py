"""What the world does while a policy thinks: it waits, runs on for a fixed time, or runs on as long as that took.

``paused``, ``latency:S`` (S simulated seconds per decision) or ``wall``. While the world runs on, the arm holds its
last target and events go on. A fixed latency is as deterministic as none.
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

LONGEST_S = 600.0
VALID_CLOCKS = f"paused, latency:SECONDS (as in latency:0.5, at most {LONGEST_S:g}), wall"


@dataclass(frozen=True)
class Clock:
    """How much simulated time decisions take.

    Attributes:
        kind: "paused", "latency" or "wall".
        latency_s: Simulated seconds per decision.
    """

    kind: str = "paused"
    latency_s: float = 0.0

    def thinking_s(self, said: Sequence[Completion], history: Sequence[Turn]) -> float:
        """Returns the simulated seconds that a decision takes. ``said`` are the model's answers for it.

        The next call of an earlier plan takes no time. The decision of a policy that asks no model takes as long as
        one that does, so that baselines run under the same clock (with ``wall`` it takes none).
        """
        if self.kind == "wall":
            return sum(completion.seconds for completion in said)
        planned = not said and any(turn.completions for turn in history)
        return 0.0 if planned else self.latency_s

    def thinking_periods(self, said: Sequence[Completion], history: Sequence[Turn]) -> int:
        """Returns the time that a decision takes, rounded up to whole control periods (50 ms)."""
        return math.ceil(round(self.thinking_s(said, history) / CONTROL_PERIOD_S, 6))

    def run_on(self, body: Body, periods: int, tell: Tell) -> None:
        """Holds the arm for so many control periods."""
        for _ in range(periods):
            body.step(body.hold())
            tell("stepped", body)


def parse_clock(text: str) -> Clock:
    """Parses a clock. Raises BadInput with the valid ones."""
    kind, colon, amount = text.partition(":")
    if text in ("paused", "wall"):
        return Clock(kind)
    try:
        seconds = float(amount) if kind == "latency" and colon else math.nan
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST_S:
        raise BadInput(f"There is no clock {text!r}. Valid: {VALID_CLOCKS}.")
    return Clock(kind, seconds)

"""Intervals for success rates."""

from __future__ import annotations

import math


def wilson(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a rate; z = 1.96 gives 95 %. With n = 0 everything is possible: (0, 1).

    Wilson, JASA 22 (1927) 209-212. Unlike the textbook interval it stays in [0, 1] and is sane at 0 of n and n of n.
    Raises ValueError unless 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    if n == 0:
        return 0.0, 1.0
    rate = successes / n
    middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else middle - half  # exact at the ends, where rounding would leave 1e-17
    high = 1.0 if successes == n else middle + half
    return low, high

"""95 % intervals for success rates and their differences, and exact tests."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from qwenarm.types import Outcome

BOOTSTRAP_RESAMPLES = 2000
RESAMPLES_PER_BLOCK = 100
SIGNIFICANCE_LEVEL = 0.05
"""A smaller p speaks for a difference, as an interval of 95 % without zero does."""


@dataclass(frozen=True)
class Rate:
    """k successes of n episodes, with the rate's 95 % interval. ``endings`` counts outcomes, most frequent first."""

    k: int
    n: int
    low: float
    high: float
    endings: Mapping[str, int] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """k / n, or 0 without episodes."""
        return self.k / self.n if self.n else 0.0


def success_rate(outcomes: Iterable[str] | Mapping[str, int]) -> Rate:
    """Returns the success rate with its Wilson interval. Every outcome but success is a failure.

    ``outcomes`` are single outcomes, or counts of them.
    """
    endings = Counter(outcomes)
    k, n = endings[Outcome.SUCCESS], endings.total()
    return Rate(k, n, *wilson(k, n), dict(endings.most_common()))


def wilson(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Returns the Wilson score interval of a rate; z = 1.96 gives 95 %. For n = 0 it is (0, 1).

    Wilson, JASA 22 (1927) 209-212. Unlike the textbook interval it stays in [0, 1] and makes sense for 0 of n and n
    of n. Raises ValueError unless 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    if n == 0:
        return 0.0, 1.0
    rate = successes / n
    middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else middle - half  # exact at the ends, where rounding would give 1e-17
    high = 1.0 if successes == n else middle + half
    return low, high


def mcnemar(only_a: int, only_b: int) -> float:
    """Returns the exact two-sided p-value of McNemar's test that two paired rates are equal.

    ``only_a`` and ``only_b`` are the numbers of pairs in which only that one succeeded; p is 1 if both are 0.
    McNemar, Psychometrika 12 (1947) 153-157; exact, as the binomial test of one half.
    """
    from scipy.stats import binomtest  # slow to import, and rarely needed

    differing = only_a + only_b
    return float(binomtest(only_a, differing).pvalue) if differing else 1.0


def barnard(successes_a: int, n_a: int, successes_b: int, n_b: int) -> float:
    """Returns the exact two-sided p-value of Barnard's test that two independent rates are equal; 1 without data.

    Barnard, Biometrika 34 (1947) 123-138.
    """
    from scipy.stats import barnard_exact

    if min(n_a, n_b) == 0 or successes_a + successes_b in (0, n_a + n_b):
        return 1.0
    table = [[successes_a, successes_b], [n_a - successes_a, n_b - successes_b]]
    return float(barnard_exact(table).pvalue)


def paired_difference(both: int, only_a: int, only_b: int, neither: int) -> tuple[float, float, float]:
    """Returns the rate of a minus that of b over the same n episodes, with its interval; (0, -1, 1) for n = 0.

    Newcombe, Statistics in Medicine 17 (1998) 2635-2650, method 10: the two Wilson intervals combined, with the
    correlation of the pairs.
    """
    n = both + only_a + only_b + neither
    a, b = both + only_a, both + only_b
    return _joined(a, n, b, n, _correlation(both, only_a, only_b, neither)) if n else (0.0, -1.0, 1.0)


def difference(successes_a: int, n_a: int, successes_b: int, n_b: int) -> tuple[float, float, float]:
    """Returns the rate of a minus that of b, which are independent, with its interval; (0, -1, 1) if one has no
    episodes.

    Newcombe, Statistics in Medicine 17 (1998) 873-890, method 10.
    """
    return _joined(successes_a, n_a, successes_b, n_b, 0.0) if min(n_a, n_b) else (0.0, -1.0, 1.0)


def reconciled(low: float, high: float, p: float) -> tuple[float, float, float]:
    """An interval of a difference and a p-value that say the same about no difference.

    The interval is approximate and the test exact, so near the limit one may find a difference and the other none. Then
    the one that finds it is made to agree: the interval is widened to zero, or p is raised to the limit. Both stay
    valid, as they claim less than before.
    """
    if p >= SIGNIFICANCE_LEVEL:
        return min(low, 0.0), max(high, 0.0), p
    return low, high, SIGNIFICANCE_LEVEL if low <= 0 <= high else p


def _joined(a: int, n_a: int, b: int, n_b: int, correlation: float) -> tuple[float, float, float]:
    (low_a, high_a), (low_b, high_b) = wilson(a, n_a), wilson(b, n_b)
    rate_a, rate_b = a / n_a, b / n_b
    down = _side(rate_a - low_a, high_b - rate_b, correlation)
    up = _side(high_a - rate_a, rate_b - low_b, correlation)
    return rate_a - rate_b, max(-1.0, rate_a - rate_b - down), min(1.0, rate_a - rate_b + up)


def _side(of_a: float, of_b: float, correlation: float) -> float:
    return math.sqrt(max(0.0, of_a**2 - 2 * correlation * of_a * of_b + of_b**2))


def _correlation(both: int, only_a: int, only_b: int, neither: int) -> float:
    """Returns the correlation of the pairs; a positive one is corrected for continuity, as in the paper."""
    n = both + only_a + only_b + neither
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    if margins == 0:
        return 0.0
    cross = both * neither - only_a * only_b
    return (max(cross - n / 2, 0.0) if cross > 0 else cross) / math.sqrt(margins)


def clustered(clusters: Sequence[Sequence[float]], seed: int = 0) -> tuple[float, float]:
    """Returns the interval of a mean whose values come in clusters, such as episodes that share a layout.

    It consists of percentiles of the means over clusters drawn with replacement (Davison and Hinkley, Bootstrap
    Methods, 1997, 3.8), and is deterministic. If all values are equal, resampling cannot estimate chance; then it is
    the Wilson interval over the clusters, for values of 0 or 1. Without clusters it is (0, 1).
    """
    groups = [group for group in clusters if len(group)]
    values = {float(value) for group in groups for value in group}
    if len(values) < 2:
        only = values.pop() if values else 0.0
        return wilson(len(groups) * int(only), len(groups)) if only in (0.0, 1.0) else (only, only)
    sums, sizes = np.array([sum(group) for group in groups]), np.array([len(group) for group in groups])
    rng, means = np.random.default_rng(seed), list[np.ndarray]()
    for _ in range(0, BOOTSTRAP_RESAMPLES, RESAMPLES_PER_BLOCK):  # all at once would take 32 kB per cluster
        drawn = rng.integers(len(groups), size=(RESAMPLES_PER_BLOCK, len(groups)))
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)

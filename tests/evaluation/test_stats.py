"""Intervals contain the rate, shrink with n and agree with scipy; tests do not care who is first."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenarm.evaluation.stats import barnard, clustered, difference, mcnemar, paired_difference, reconciled, wilson

counts = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts)
def test_it_contains_the_rate_and_mirrors(count):
    successes, n = count
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert wilson(n - successes, n) == pytest.approx((1 - high, 1 - low))
    wider = wilson(successes * 4, n * 4)
    assert wider[1] - wider[0] < high - low


@settings(deadline=None)
@given(counts)
def test_it_agrees_with_scipy(count):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(*count).proportion_ci(method="wilson")
    assert wilson(*count) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_nothing_is_known_from_nothing():
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson(3, 2)


few = st.integers(0, 30)


@given(few, few)
def test_mcnemar_is_the_binomial_test_and_does_not_care_who_is_first(a, b):
    below = sum(math.comb(a + b, i) for i in range(min(a, b) + 1)) / 2 ** (a + b)
    assert mcnemar(a, b) == mcnemar(b, a) == pytest.approx(min(1.0, 2 * below))


def test_newcombes_own_examples():
    # Table II of the paper on independent rates, method 10.
    assert difference(56, 70, 48, 80) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert difference(9, 10, 3, 10) == pytest.approx((0.6, 0.1705, 0.8090), abs=5e-5)


@pytest.mark.parametrize("cells", [(0.5, 0.25, 0.05, 0.2), (0.85, 0.1, 0.03, 0.02), (0.1, 0.3, 0.3, 0.3)])
def test_the_paired_interval_covers_the_truth_in_95_percent_of_the_experiments(cells):
    truth, experiments = cells[1] - cells[2], 2000
    drawn = np.random.default_rng(0).multinomial(40, cells, size=experiments)
    intervals = [paired_difference(*map(int, counts))[1:] for counts in drawn]
    covered = sum(low <= truth <= high for low, high in intervals) / experiments
    assert 0.935 <= covered <= 0.985


@given(few, few, few, few)
def test_differences_turn_round_with_their_sides(both, a, b, neither):
    one, other = paired_difference(both, a, b, neither), paired_difference(both, b, a, neither)
    assert one == pytest.approx((-other[0], -other[2], -other[1]))
    assert -1 <= one[1] <= one[0] + 1e-12 and one[0] - 1e-12 <= one[2] <= 1


def test_an_interval_and_its_p_never_contradict_each_other():
    contradicted = 0
    for cells in itertools.product(range(0, 12, 2), range(10), range(10), range(0, 12, 5)):
        _, low, high = paired_difference(*cells)
        raw = mcnemar(cells[1], cells[2])
        contradicted += (raw < 0.05) == (low <= 0 <= high)
        wider_low, wider_high, p = reconciled(low, high, raw)
        assert (p < 0.05) == (not wider_low <= 0 <= wider_high), cells
        assert wider_low <= low and high <= wider_high and p >= raw, "nothing more is claimed than before"
    assert contradicted > 50


def test_barnard_finds_what_is_there_and_nothing_else():
    assert barnard(0, 20, 0, 20) == barnard(5, 5, 3, 3) == barnard(0, 0, 3, 3) == 1
    assert barnard(7, 15, 12, 15) == pytest.approx(barnard(12, 15, 7, 15))
    assert barnard(10, 10, 0, 10) < 1e-4 < 0.5 < barnard(5, 10, 6, 10)


@given(st.lists(st.lists(st.booleans(), max_size=4), max_size=12))
def test_clusters_have_an_interval_round_their_mean(clusters):
    values = [value for cluster in clusters for value in cluster]
    low, high = clustered(clusters)
    assert 0 <= low <= high <= 1
    assert not values or low - 1e-9 <= sum(values) / len(values) <= high + 1e-9


def test_episodes_that_fail_together_count_as_one():
    apart = [[i % 2] for i in range(40)]
    together = [[i % 2] * 4 for i in range(10)]
    width = [high - low for low, high in (clustered(apart), clustered(together), wilson(20, 40))]
    assert width[0] == pytest.approx(width[2], abs=0.03) and width[1] > 1.6 * width[0]
    assert clustered([[1, 1, 1]] * 5) == wilson(5, 5)

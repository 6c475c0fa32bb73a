"""The interval contains the rate, shrinks with n and agrees with scipy."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenarm.stats import wilson

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

"""Statistics against formulae of their own: no result of the library tests itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.verdicts.rates import rate_excess, wilson
from audit.verdicts.statistics import (
    bootstrap_mean,
    false_discovery,
    greater_than_zero,
    robust_z,
)


def test_a_larger_p_value_never_gets_a_smaller_q_value() -> None:
    # 0.03 is second of three, which alone would give 0.045; the 0.04 above it lowers it.
    assert false_discovery([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.04, 0.04])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_benjamini_hochberg_is_the_least_of_all_larger_p_values(p: list[float]) -> None:
    # q_i = min over p_j >= p_i of p_j * m / (how many are <= p_j).
    expected = [min(1, *(b * len(p) / sum(c <= b for c in p) for b in p if b >= a)) for a in p]
    assert false_discovery(p).tolist() == pytest.approx(expected)


def test_the_paired_test_divides_by_the_sample_variance() -> None:
    # Mean 7/3 and sample variance 7/3 give t = sqrt(7); with two degrees of freedom
    # P(T > t) = 1/2 - t / (2 sqrt(2 + t^2)). The population variance would give 0.0441.
    assert greater_than_zero([1, 2, 4]) == pytest.approx(0.5 - math.sqrt(7) / 6, abs=1e-9)
    assert greater_than_zero([-1, -2, -4]) == pytest.approx(0.5 + math.sqrt(7) / 6, abs=1e-9)
    assert greater_than_zero([1, math.nan, 2, 4]) == greater_than_zero([1, 2, 4])


def test_the_bootstrap_interval_is_that_of_the_mean() -> None:
    # Of two values the mean of a resample is 0, 1/2 or 1 with 1/4, 1/2, 1/4.
    two = bootstrap_mean([0.0, 1.0, math.nan])
    assert (two.value, two.low, two.high, two.n) == (0.5, 0.0, 1.0, 2)
    values = np.random.default_rng(1).exponential(1, 400)
    effect = bootstrap_mean(values)
    half = 1.959964 * values.std() / 20
    assert effect.high - effect.value == pytest.approx(half, rel=0.12)
    assert effect.value - effect.low == pytest.approx(half, rel=0.12)


def test_newcombes_interval_by_its_own_example() -> None:
    # Newcombe 1998, table II, example (a): 56/70 against 48/80, score method without correction.
    effect = rate_excess(56, 70, 48, 80)
    assert (effect.low, effect.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    low, high = wilson(56, 70)
    base_low, base_high = wilson(48, 80)
    assert effect.low == pytest.approx(0.2 - math.hypot(0.8 - low, base_high - 0.6))
    assert effect.high == pytest.approx(0.2 + math.hypot(high - 0.8, 0.6 - base_low))
    assert effect.n == 70


def test_the_exact_test_asks_for_more_and_not_for_other() -> None:
    # Of 4 chosen out of 3 hits and 5 misses, all 3 hits: 5 in 70 ways.
    assert rate_excess(3, 4, 0, 4).p_value == pytest.approx(5 / 70)
    assert rate_excess(0, 4, 3, 4).p_value == pytest.approx(1)


def test_robust_z_by_hand() -> None:
    # Median 2, distances 1, 0, 0, 1, 8, of which the median is 1.
    found = robust_z([1.0, 2.0, 2.0, 3.0, 10.0, math.nan])
    assert found[:5].tolist() == pytest.approx([d / 1.4826 for d in (-1, 0, 0, 1, 8)])
    assert math.isnan(found[5])
    assert all(map(math.isnan, robust_z([math.nan, math.nan])))

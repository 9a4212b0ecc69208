"""Intervals, tests and false-discovery control; undefined is NaN, never 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from audit.verdicts.resampling import resampled_means

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class EffectSize:
    """A measured effect with its 95 % interval.

    Parameters
    ----------
    value, low, high : float
        NaN where undefined.
    p_value : float
        One-sided, for "greater than nothing"; NaN where untested.
    n : int
        Observations behind it.
    """

    value: float
    low: float
    high: float
    p_value: float = float("nan")
    n: int = 0


UNDEFINED = EffectSize(float("nan"), float("nan"), float("nan"))


def bootstrap(
    columns: Sequence[ArrayLike],
    of_means: Callable[..., ArrayLike],
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> EffectSize:
    """A function of means with its percentile bootstrap interval (Efron 1979).

    Parameters
    ----------
    columns : sequence of float (n,)
        Observations, one row each; rows are drawn whole.
    of_means : callable
        From the mean of each column, of any equal shapes, to the statistic, which may be NaN.
    seed : int
        Of the resampling.
    resamples : int
        How many.
    level : float
        Of the interval, 0..1.

    Returns
    -------
    EffectSize
        Without interval for fewer than two rows, or where the statistic itself is undefined.
    """
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    n = len(arrays[0])
    if n == 0:
        return UNDEFINED
    value = float(np.asarray(of_means(*(column.mean() for column in arrays))))
    if n == 1 or np.isnan(value):
        return EffectSize(value, np.nan, np.nan, n=n)
    drawn = resampled_means(arrays, seed, resamples)
    spread = np.asarray(of_means(*drawn), np.float64)
    tail = (1 - level) / 2
    low, high = np.nanquantile(spread, [tail, 1 - tail])
    # The value may leave the resampled range by rounding when all observations are equal.
    return EffectSize(value, min(float(low), value), max(float(high), value), n=n)


def bootstrap_mean(values: ArrayLike, seed: int = 0, level: float = LEVEL) -> EffectSize:
    """Mean with its interval, from :func:`bootstrap`.

    Parameters
    ----------
    values : float (n,)
        NaN are left out. With fewer than two left there is no interval.
    seed : int
        Of the resampling.
    level : float
        Of the interval, 0..1.

    Examples
    --------
    >>> effect = bootstrap_mean([1.0, 1.0, 1.0])
    >>> (effect.value, effect.low, effect.high)
    (1.0, 1.0, 1.0)
    """
    return bootstrap([_finite(values)], lambda mean: mean, seed, level=level)


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    return array[np.isfinite(array)]


def greater_than_zero(values: ArrayLike) -> float:
    """One-sided p-value of Student's paired t-test that the mean exceeds 0.

    Parameters
    ----------
    values : float (n,)
        Differences; NaN are left out.

    Returns
    -------
    float
        NaN with fewer than two values. Where all are equal the test is exact: 0 if they are
        positive, else 1.

    Examples
    --------
    >>> round(greater_than_zero([1.0, 2.0, 3.0]), 6)
    0.03709
    """
    kept = _finite(values)
    if len(kept) < 2:
        return float("nan")
    if np.ptp(kept) == 0:
        return 0.0 if kept[0] > 0 else 1.0
    return float(stats.ttest_1samp(kept, 0.0, alternative="greater").pvalue)


EXACT_FLIPS = 14
"""Up to so many values all 2^n signs are tried."""
FLIPS = 20_000


def sign_flip(values: ArrayLike, seed: int = 0) -> float:
    """One-sided p-value of the sign-flip (Fisher's randomisation) test that the mean exceeds 0.

    Assumes nothing but that without an effect a difference is as likely positive as negative.
    With n values it cannot fall below ``2^-n``, so with five it never reaches 0.03.

    Parameters
    ----------
    values : float (n,)
        Differences; NaN are left out.
    seed : int
        Of the signs that are drawn where n is larger than :data:`EXACT_FLIPS`.

    Returns
    -------
    float
        NaN with fewer than two values.

    Examples
    --------
    >>> sign_flip([1.0, 2.0, 3.0])
    0.125
    """
    kept = _finite(values)
    n = len(kept)
    if n < 2:
        return float("nan")
    # Equal sums may differ in their last digit.
    least = kept.sum() - 1e-9 * float(np.abs(kept).sum())
    if n <= EXACT_FLIPS:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return float(((2.0 * bits - 1) @ kept >= least).mean())
    random = np.random.default_rng(seed)
    size = max(1, min(FLIPS, 2_000_000 // n))
    hits, left = 0, FLIPS
    while left > 0:
        signs = random.integers(0, 2, (min(size, left), n), dtype=np.int8)
        hits += int(((2.0 * signs - 1) @ kept >= least).sum())
        left -= size
    # The order that was observed counts as one of those drawn (Phipson and Smyth 2010).
    return (hits + 1) / (FLIPS + 1)


TESTS: Mapping[str, Callable[[ArrayLike], float]] = {
    "t": greater_than_zero,
    "sign_flip": sign_flip,
}
"""One-sided tests that a mean exceeds 0: the manifest's ``verdict.test``."""


def false_discovery(p_values: ArrayLike) -> NDArray[np.float64]:
    """Benjamini-Hochberg q-values (1995); NaN stay NaN and count as no test.

    Examples
    --------
    >>> false_discovery([0.01, 0.04, float("nan")]).tolist()
    [0.02, 0.04, nan]
    """
    p = np.asarray(p_values, dtype=np.float64)
    q = np.full(p.shape, np.nan)
    tested = np.isfinite(p)
    if tested.any():
        q[tested] = stats.false_discovery_control(p[tested], method="bh")
    return q


def robust_z(values: ArrayLike) -> NDArray[np.float64]:
    """Distance from the median in units of 1.4826 times the median absolute deviation.

    For sorting classes, not for deciding. NaN stay NaN; without spread all are 0.
    """
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).any():
        return np.full(array.shape, np.nan)
    away = array - np.nanmedian(array)
    spread = 1.4826 * np.nanmedian(np.abs(away))
    return away / spread if spread > 0 else np.where(np.isnan(array), np.nan, 0.0)

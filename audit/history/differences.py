"""The difference of a class between two runs, with images as units.

A gap is the mean of ``g`` over the images of a class. In the difference of two gaps an image that
both runs measured appears once, with what it lost later over the later count less what it lost
earlier over the earlier count; an image of one run alone appears with that part only. The three
groups are independent, so their variances add, with Welch's degrees of freedom: where all images
are common that is the paired t-test, where none is Welch's test.

Images share backgrounds. Where the runs are paired an image meets the same ones in both, and they
cancel, and of what their drawing gives the mean (:func:`donor_noise`) the share is added that the
draws of one run alone have; where they are not, all of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from audit.history.pairing import DONORS

POWER = 0.80
_NOTHING = float("nan")
_PROBABILITIES = ("swap_same_probabilities", "swap_other_probabilities")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """A difference of two means: its value, its standard error and the degrees of freedom."""

    value: float = _NOTHING
    error: float = _NOTHING
    freedom: float = _NOTHING

    @property
    def is_measured(self) -> bool:
        """Whether there is anything to test."""
        return math.isfinite(self.value) and math.isfinite(self.error)

    def p_value(self) -> float:
        """Two-sided, that it is 0; NaN where it was not measured.

        Examples
        --------
        >>> Difference(1.0, 0.0, 9.0).p_value(), Difference(0.0, 0.0, 9.0).p_value()
        (0.0, 1.0)
        """
        if not self.is_measured:
            return _NOTHING
        if self.error == 0:
            return 0.0 if self.value else 1.0
        return float(2 * stats.t.sf(abs(self.value) / self.error, self.freedom))

    def interval(self, level: float) -> tuple[float, float]:
        """The interval of a level in 0..1."""
        if not self.is_measured:
            return _NOTHING, _NOTHING
        half = self.error * float(stats.t.ppf((1 + level) / 2, self.freedom)) if self.error else 0.0
        return self.value - half, self.value + half

    def is_within(self, margin: float, alpha: float) -> bool:
        """Whether it is shown to lie within a margin of 0: both one-sided tests (Schuirmann)."""
        low, high = self.interval(1 - 2 * alpha)
        return -margin < low and high < margin

    def detectable(self, alpha: float) -> float:
        """The difference that would be found with a probability of :data:`POWER`."""
        if not self.is_measured:
            return _NOTHING
        needed = stats.t.ppf(1 - alpha / 2, self.freedom) + stats.t.ppf(POWER, self.freedom)
        return self.error * float(needed)


UNMEASURED = Difference()


def difference(
    earlier: pd.Series[float], later: pd.Series[float], noise: float = 0.0
) -> Difference:
    """The difference of two means, later minus earlier.

    Parameters
    ----------
    earlier, later : Series of float
        What each image lost, by what tells it apart; NaN are left out.
    noise : float
        Further standard deviation, in the same unit.

    Returns
    -------
    Difference
        Not measured where a run has fewer than two images.

    Examples
    --------
    >>> before = pd.Series([0.1, 0.2, 0.3], index=list("abc"))
    >>> round(difference(before, before + 0.5).value, 6), difference(before, before).error
    (0.5, 0.0)
    """
    earlier, later = earlier.dropna(), later.dropna()
    if len(earlier) < 2 or len(later) < 2:
        return Difference()
    common = earlier.index.intersection(later.index)
    groups = [
        _numbers(later[common]) / len(later) - _numbers(earlier[common]) / len(earlier),
        _numbers(later.drop(common)) / len(later),
        -_numbers(earlier.drop(common)) / len(earlier),
    ]
    # One image alone has no variance of its own: it has that of its run.
    spread = [0.0, later.var() / len(later) ** 2, earlier.var() / len(earlier) ** 2]
    spread[0] = spread[1] + spread[2]
    parts = [_part(group, alone) for group, alone in zip(groups, spread, strict=True) if len(group)]
    variance = sum(part for part, _ in parts)
    below = sum(part**2 / freedom for part, freedom in parts)
    least = float(min(len(earlier), len(later)) - 1)
    freedom = variance**2 / below if below > 0 else least
    value = float(later.mean() - earlier.mean())
    # Equal losses differ in their last digit.
    error = math.sqrt(variance) if variance > 1e-24 else 0.0
    return Difference(
        value if error or abs(value) > 1e-12 else 0.0, math.hypot(error, noise), freedom
    )


def _part(group: Floats, alone: float) -> tuple[float, float]:
    """The variance that a group of images brings, and its degrees of freedom."""
    count = len(group)
    return (count * float(group.var(ddof=1)), count - 1) if count > 1 else (float(alone), 1)


def _numbers(column: pd.Series) -> Floats:
    numbers: Floats = column.to_numpy(dtype=np.float64)
    return numbers


def donor_noise(own: pd.DataFrame) -> float:
    """What the drawing of backgrounds alone gives a class's gap: a standard deviation.

    Images share donors: a background that suits few objects costs each image that meets it. So
    the draws of one donor count as one (a variance robust to clusters; Liang and Zeger 1986). Of
    runs that did not write donors down, the donors of each image are split into halves, in all
    ways, as if no two images shared one.

    Parameters
    ----------
    own : DataFrame
        Rows of ``scores.parquet`` of one class.

    Returns
    -------
    float
        NaN where no image met two donors of each kind.
    """
    if all(name in own for name in DONORS):
        kinds = zip(_PROBABILITIES, DONORS, strict=True)
        return math.hypot(*(_noise_by_donor(own[drawn], own[donors]) for drawn, donors in kinds))
    lists = [own[f"swap_{kind}_probabilities"].dropna() for kind in ("same", "other")]
    rows = lists[0].index.intersection(lists[1].index)
    same, other = (_even([of_donors[row] for row in rows]) for of_donors in lists)
    count = min(same.shape[1], other.shape[1]) // 2 * 2
    if count < 2 or not len(same):
        return _NOTHING
    lost = same[:, :count] - other[:, :count]
    signs = _halves(count)
    # (splits, images) -> the mean over the images, whose donors are shared.
    apart = (signs @ lost.T / count).mean(1)
    return float(np.sqrt((apart**2).mean()))


def _noise_by_donor(drawn: pd.Series, donors: pd.Series) -> float:
    """The standard deviation that the drawing of one kind of donors gives the mean of all swaps."""
    swaps = [
        (np.asarray(values, np.float64), names)
        for values, names in zip(drawn, donors, strict=True)
        if values is not None and names is not None and len(values) > 1
    ]
    if not swaps:
        return _NOTHING
    # Less the image's own mean, which takes a share of the variance along.
    apart = np.concatenate([(v - v.mean()) * math.sqrt(len(v) / (len(v) - 1)) for v, _ in swaps])
    names = np.concatenate([np.asarray(donor_names, object) for _, donor_names in swaps])
    sums = pd.Series(apart).groupby(names).sum()
    return float(np.sqrt((sums**2).sum()) / len(apart))


def _even(lists: Sequence[Sequence[float]]) -> Floats:
    """As many of each list as the shortest has."""
    least = min((len(one) for one in lists), default=0)
    return np.array([one[:least] for one in lists], dtype=np.float64).reshape(len(lists), least)


def _halves(count: int) -> Floats:
    """Every way to split `count` in halves, as signs ``(splits, count)``."""
    numbers = np.arange(2 ** (count - 1))
    bits = (numbers[:, None] >> np.arange(count - 1)) & 1
    signs = np.concatenate([np.ones((len(bits), 1)), 2.0 * bits - 1], 1)
    even: Floats = signs[signs.sum(1) == 0][:512]
    return even

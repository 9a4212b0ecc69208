"""Rates of few trials: their intervals, their differences, and how many trials it would take."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import stats

from audit.verdicts.statistics import LEVEL, EffectSize


# A dataset's classes are of few sizes, and the library takes 2 ms for each.
@lru_cache(maxsize=16_384)
def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % score interval of a rate (Wilson 1927); NaN without trials.

    Examples
    --------
    >>> [round(x, 4) for x in wilson(0, 10)]
    [0.0, 0.2775]
    """
    if trials == 0:
        return float("nan"), float("nan")
    interval = stats.binomtest(successes, trials).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def trials_for(rate: float, least: float) -> int | None:
    """Fewest trials at which a rate's score interval would lie above `least`; None: none would do.

    Examples
    --------
    >>> trials_for(0.75, 0.5), trials_for(0.5, 0.5)
    (16, None)
    """
    if not rate > least:
        return None
    # The interval ends where the score test of that rate would just reject (Wilson 1927).
    z = float(stats.norm.ppf((1 + LEVEL) / 2))
    return max(1, int(np.ceil(z * z * least * (1 - least) / (rate - least) ** 2)))


def rate_for(trials: int, least: float) -> float:
    """The lowest rate whose interval lies above `least` with so many trials; NaN without trials.

    Examples
    --------
    >>> rate_for(20, 0.5)
    0.75
    """
    enough = (hits for hits in range(trials + 1) if wilson(hits, trials)[0] >= least)
    hits = next(enough, None)
    return float("nan") if hits is None else hits / trials


def rate_excess(hits: int, trials: int, base_hits: int, base_trials: int) -> EffectSize:
    """How far one rate exceeds another: Newcombe's interval (1998), Fisher's exact test.

    Parameters
    ----------
    hits, trials : int
        Of the class.
    base_hits, base_trials : int
        Of everything else.

    Returns
    -------
    EffectSize
        Difference of the rates in -1..1; NaN where either has no trials.

    Examples
    --------
    >>> effect = rate_excess(8, 10, 1, 10)
    >>> round(effect.value, 3), effect.p_value < 0.01
    (0.7, True)
    """
    if trials == 0 or base_trials == 0:
        return EffectSize(np.nan, np.nan, np.nan, n=trials)
    rate, base = hits / trials, base_hits / base_trials
    low, high = wilson(hits, trials)
    base_low, base_high = wilson(base_hits, base_trials)
    difference = rate - base
    table = np.array([[hits, trials - hits], [base_hits, base_trials - base_hits]])
    return EffectSize(
        difference,
        difference - float(np.hypot(rate - low, base_high - base)),
        difference + float(np.hypot(high - rate, base - base_low)),
        float(stats.fisher_exact(table, alternative="greater").pvalue),
        trials,
    )

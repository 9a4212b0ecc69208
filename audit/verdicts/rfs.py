"""Noise on the object against noise on the background, as one figure a class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from audit.verdicts.statistics import LEVEL, RESAMPLES, Effect


def relative_foreground_sensitivity(own: pd.DataFrame, seed: int = 0) -> Effect:
    """RFS of one class (Moayeri et al. 2022), -1..1, with its bootstrap interval.

    With ``a_f`` the accuracy under noise on the object, ``a_b`` under the same noise on the
    background and ``a`` their mean: ``RFS = (a_b - a_f) / (2 min(a, 1 - a))``. Positive: the
    class depends on the object. Undefined where no answer, or every answer, survives the noise.

    Parameters
    ----------
    own : DataFrame
        The class's rows of ``scores.parquet``.
    seed : int
        Of the bootstrap.
    """
    met = own[own["foreground_noise_prediction"].notna()]
    n = len(met)
    if n == 0:
        return Effect(np.nan, np.nan, np.nan)
    hits = [
        (met[f"{side}_noise_prediction"] == met["label"]).to_numpy(np.float64)
        for side in ("foreground", "background")
    ]
    drawn = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n)) if n > 1 else None

    def ratio(on_object: Any, on_background: Any) -> Any:
        middle = (on_object + on_background) / 2
        room = 2 * np.minimum(middle, 1 - middle)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(room > 0, (on_background - on_object) / room, np.nan)

    value = float(ratio(hits[0].mean(), hits[1].mean()))
    if drawn is None or value != value:
        return Effect(value, np.nan, np.nan, n=n)
    spread = ratio(hits[0][drawn].mean(1), hits[1][drawn].mean(1))
    low, high = np.nanquantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Effect(value, min(float(low), value), max(float(high), value), n=n)

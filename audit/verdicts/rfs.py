"""Noise on the object against noise on the background, as one figure a class."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from audit.verdicts.statistics import EffectSize, bootstrap


def relative_foreground_sensitivity(rows: pd.DataFrame, seed: int = 0) -> EffectSize:
    """RFS of one class (Moayeri et al. 2022), -1..1, with its bootstrap interval.

    With ``a_f`` the accuracy under noise on the object, ``a_b`` under the same noise on the
    background and ``a`` their mean: ``RFS = (a_b - a_f) / (2 min(a, 1 - a))``. Positive: the
    class depends on the object. Undefined where no answer, or every answer, survives the noise.

    Parameters
    ----------
    rows : DataFrame
        The class's rows of ``scores.parquet``.
    seed : int
        Of the bootstrap.
    """
    measured = rows[rows["foreground_noise_prediction"].notna()]
    hits = [
        (measured[f"{side}_noise_prediction"] == measured["label"]).to_numpy(np.float64)
        for side in ("foreground", "background")
    ]
    return bootstrap(hits, _ratio, seed)


def _ratio(on_object: ArrayLike, on_background: ArrayLike) -> NDArray[np.float64]:
    foreground, background = np.asarray(on_object), np.asarray(on_background)
    middle = (foreground + background) / 2
    room = 2 * np.minimum(middle, 1 - middle)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: NDArray[np.float64] = np.where(room > 0, (background - foreground) / room, np.nan)
    return ratio

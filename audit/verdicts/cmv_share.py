"""What share of a class model visualization is background: an indicator that decides nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from audit.verdicts.statistics import UNDEFINED, EffectSize, bootstrap

FEWEST_IMAGES = 5
_RESAMPLES = 1000


def background_shares(alignment: pd.DataFrame, seed: int) -> dict[int, EffectSize]:
    """Share of each CMV that the class's backgrounds have, beside its objects.

    Of what object and background of the class's images have in common with its CMV, on average,
    the background's part; less than nothing counts as nothing.

    Parameters
    ----------
    alignment : DataFrame
        From :func:`audit.cues.cmv_alignment.cmv_alignment`.
    seed : int
        Of the bootstrap over images.

    Returns
    -------
    dict of int to EffectSize
        By label, 0..1; undefined below :data:`FEWEST_IMAGES` images, or where neither has
        anything in common with it.

    Examples
    --------
    >>> alignment = pd.DataFrame({"label": 7, "like_object": [3.0] * 5, "like_background": 1.0})
    >>> share = background_shares(alignment, 0)[7]
    >>> (share.value, share.low, share.high)
    (0.25, 0.25, 0.25)
    """
    return {int(str(label)): _share(own, seed) for label, own in alignment.groupby("label")}


def _share(rows: pd.DataFrame, seed: int) -> EffectSize:
    if len(rows) < FEWEST_IMAGES:
        return UNDEFINED
    columns = [rows[name].to_numpy(np.float64) for name in ("like_background", "like_object")]
    return bootstrap(columns, _part, seed, _RESAMPLES)


def _part(background: ArrayLike, thing: ArrayLike) -> NDArray[np.float64]:
    own, other = np.maximum(background, 0.0), np.maximum(thing, 0.0)
    with np.errstate(invalid="ignore"):
        part: NDArray[np.float64] = np.where(own + other > 0, own / (own + other), np.nan)
    return part

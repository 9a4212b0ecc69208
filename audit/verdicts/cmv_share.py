"""What share of a class model visualization is background: a witness that decides nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.verdicts.statistics import Effect

PICTURED = "CMV"
"""The name of the witness."""
COLUMN = "cmv_background_share"
SHARE_COLUMNS = tuple(f"{COLUMN}{end}" for end in ("", "_low", "_high"))
SHARE_FLOOR = 0.1
"""Of a share that says background; chosen on the benchmark's tuning worlds."""
FEWEST_IMAGES = 5
_DRAWS = 1000


def background_shares(likenesses: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Share of the CMV that the class's backgrounds have, beside its objects.

    Of what object and background of the class's images have in common with its CMV, on average,
    the background's part; less than nothing counts as nothing.

    Parameters
    ----------
    likenesses : DataFrame
        From :func:`audit.cues.cmv_alignment.likeness`.
    seed : int
        Of the bootstrap over images.

    Returns
    -------
    DataFrame
        ``label`` and the three :data:`SHARE_COLUMNS`, 0..1; NaN below :data:`FEWEST_IMAGES`
        images, or where neither has anything in common with it.

    Examples
    --------
    >>> likenesses = pd.DataFrame({"label": 7, "like_object": [3.0] * 5, "like_background": 1.0})
    >>> background_shares(likenesses, 0).values.tolist()
    [[7.0, 0.25, 0.25, 0.25]]
    """
    rows = []
    for label, own in likenesses.groupby("label"):
        found = _share(own[["like_background", "like_object"]].to_numpy(dtype=float), seed)
        rows.append((int(str(label)), found.value, found.low, found.high))
    return pd.DataFrame(rows, columns=["label", *SHARE_COLUMNS]).astype({"label": "int64"})


def _share(pairs: NDArray[np.float64], seed: int) -> Effect:
    nothing = Effect(np.nan, np.nan, np.nan)
    if len(pairs) < FEWEST_IMAGES:
        return nothing
    value = float(_part(pairs.mean(0)))
    if np.isnan(value):
        return nothing
    drawn = np.random.default_rng(seed).integers(0, len(pairs), (_DRAWS, len(pairs)))
    shares = _part(pairs[drawn].mean(1))
    low, high = np.nanquantile(shares, (0.025, 0.975))
    return Effect(value, float(low), float(high))


def _part(means: NDArray[np.float64]) -> NDArray[np.float64]:
    positive = np.maximum(means, 0.0)
    total = positive.sum(-1)
    with np.errstate(invalid="ignore"):
        part: NDArray[np.float64] = np.where(total > 0, positive[..., 0] / total, np.nan)
    return part


def pictured_witness(row: dict[str, Any]) -> dict[str, Any] | None:
    """The witness as the findings hold it; None where nothing was measured.

    Parameters
    ----------
    row : dict
        With the three :data:`SHARE_COLUMNS`.
    """
    value, low, high = (row[name] for name in SHARE_COLUMNS)
    if value is None or np.isnan(value):
        return None
    says = "background" if low > SHARE_FLOOR else "object" if high < SHARE_FLOOR else "unclear"
    return {
        "name": PICTURED,
        "says": says,
        "value": value,
        "low": low,
        "high": high,
        "p_value": None,
        "unit": "share",
        "explanation": (
            "Of what objects and backgrounds have in common with the class model visualization, "
            "in the model's own features, the backgrounds' part. Decides nothing."
        ),
    }

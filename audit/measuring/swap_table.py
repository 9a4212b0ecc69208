"""The swaps one by one: the list columns of the scores, unfolded to a row a swap."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_WHOLE = ("donor_label", "donor_row", "prediction")


def each_swap(scores: pd.DataFrame) -> pd.DataFrame:
    """Unfold the other-class swaps.

    Parameters
    ----------
    scores : DataFrame
        Rows of ``scores.parquet``.

    Returns
    -------
    DataFrame
        One row a swap: ``label`` of the object, ``before`` (its answer without a swap),
        ``donor_label`` and ``donor_row`` of the background (the row of ``samples.parquet``, -1
        where an earlier version did not write it down), ``prediction``, ``probability`` of the
        object's class, ``lost``: what that is less than the mean of the same image's same-class
        swaps (NaN where there were none).
    """
    swapped = scores[scores["swap_other_probabilities"].map(lambda values: values is not None)]
    counts = swapped["swap_other_probabilities"].map(len).to_numpy(dtype=np.int64)
    total = int(counts.sum())

    def unfolded(name: str) -> NDArray[np.float64]:
        column = f"swap_other_{name}"
        if column not in swapped or total == 0 or bool(swapped[column].isna().any()):
            return np.full(total, -1.0)
        return np.concatenate([np.asarray(values, np.float64) for values in swapped[column]])

    def repeated(column: str) -> NDArray[np.float64]:
        return np.repeat(swapped[column].to_numpy(dtype=np.float64, na_value=np.nan), counts)

    whole = {name: unfolded(f"{name}s").astype(np.int64) for name in _WHOLE}
    probability = unfolded("probabilities")
    return pd.DataFrame(
        {
            "label": repeated("label").astype(np.int64),
            "before": repeated("prediction"),
            **whole,
            "probability": probability,
            "lost": repeated("swap_same_probability") - probability,
        }
    )

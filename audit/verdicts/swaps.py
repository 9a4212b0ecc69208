"""The swaps one by one: the list columns of the scores, unfolded to a row a swap."""

from __future__ import annotations

import numpy as np
import pandas as pd

_LISTS = {
    "donor_label": "swap_other_donor_labels",
    "prediction": "swap_other_predictions",
    "probability": "swap_other_probabilities",
}


def each_swap(scores: pd.DataFrame) -> pd.DataFrame:
    """Unfold the other-class swaps.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.

    Returns
    -------
    DataFrame
        One row a swap: ``label`` of the object, ``donor_label`` of the background, ``prediction``,
        ``probability`` of the object's class, ``lost``: what that is less than the mean of the
        same image's same-class swaps (NaN where there were none).
    """
    met = scores[scores["swap_other_probabilities"].map(lambda held: held is not None)]
    if met.empty:
        return pd.DataFrame(columns=["label", *_LISTS, "lost"], dtype=np.float64)
    counts = met["swap_other_donor_labels"].map(len).to_numpy()
    unfolded = {name: np.concatenate(met[column].to_numpy()) for name, column in _LISTS.items()}
    swaps = pd.DataFrame({"label": np.repeat(met["label"].to_numpy(), counts), **unfolded})
    kept = met["swap_same_probability"].to_numpy(dtype=np.float64, na_value=np.nan)
    return swaps.assign(lost=np.repeat(kept, counts) - swaps["probability"])

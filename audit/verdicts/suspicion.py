"""Which pairs of classes the follow-up measures.

The first pass spreads few donors over all other classes, so a class that only *one* background
takes votes from meets that background once or twice. The pairs where such a loss is likely are
measured again, with fresh donors of that one class: a two-stage design. What is tested later are
the fresh swaps alone, so that choosing the pairs by the first ones cannot fake an effect.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from audit.measuring.swap_table import each_swap

PAIRS = 3
"""Donor classes followed up for each class."""
WORTH_FOLLOWING = 0.05
"""Expected loss of probability from which a pair is followed up."""
_PRIOR_SWAPS = 4.0


def choose_pairs(scores: pd.DataFrame, open_cases: Collection[int]) -> pd.DataFrame:
    """Choose the pairs (class, donor class) to follow up.

    The expected loss of a pair is the mean loss of its swaps, shrunken towards what the class
    loses anywhere plus what objects of any class lose on that donor class's backgrounds.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    open_cases : collection of int
        Labels of the classes that are not suspect yet: suspects need no further proof.

    Returns
    -------
    DataFrame
        ``label``, ``donor_label``, ``expected`` (loss of probability); the most promising first
        within each label.
    """
    swaps = each_swap(scores)
    cells = swaps.groupby(["label", "donor_label"])["lost"].agg(["sum", "count"]).reset_index()
    cells = cells[cells["count"] > 0]
    if cells.empty:
        return pd.DataFrame(columns=["label", "donor_label", "expected"])
    everywhere = swaps["lost"].mean()
    of_class = swaps.groupby("label")["lost"].mean()
    of_donor = swaps.groupby("donor_label")["lost"].mean()
    prior = np.clip(
        cells["label"].map(of_class) + cells["donor_label"].map(of_donor) - everywhere, 0, 1
    )
    cells["expected"] = (cells["sum"] + _PRIOR_SWAPS * prior) / (cells["count"] + _PRIOR_SWAPS)
    chosen = cells[cells["label"].isin(list(open_cases)) & (cells["expected"] >= WORTH_FOLLOWING)]
    chosen = chosen.sort_values(["label", "expected", "donor_label"], ascending=[True, False, True])
    return chosen.groupby("label").head(PAIRS)[["label", "donor_label", "expected"]]

"""The second look's effects: what a class loses to the background of one other class."""

from __future__ import annotations

import numpy as np
import pandas as pd

from audit.verdicts.statistics import TESTS, bootstrap_mean, false_discovery

VICTIM_COLUMNS = (
    "victim_harm",
    "victim_harm_low",
    "victim_harm_high",
    "victim_gap",
    "victim_flips",
    "victim_p",
    "victim_q",
    "victim_of",
)


def victim_effects(
    scores: pd.DataFrame, second: pd.DataFrame, seed: int = 0, test: str = "t"
) -> pd.DataFrame:
    """Measure for each class the loss to the one background that costs it most.

    For image ``i`` and donor class ``d``: ``v = p_y(same-class swaps) - mean p_y(fresh swaps on
    backgrounds of d)``. ``victim_gap`` is the mean of ``v`` over the images, ``victim_flips`` how
    many more of the decisions are wrong there than on backgrounds of the own class, and
    ``victim_harm`` the mean of the two, all for the ``d`` where that is largest: both measure the
    same loss, but a share of few decisions is coarse, and a probability moves little where a model
    was never sure. The p-value is that of the paired test on the margins, times
    the number of donor classes among which ``d`` was found (Bonferroni); ``victim_q`` is it under
    Benjamini-Hochberg over the classes that got a second look.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    second : DataFrame
        All rows of ``follow_up.parquet``.
    seed : int
        Of the bootstrap.
    test : str
        Key of :data:`audit.verdicts.statistics.TESTS`.

    Returns
    -------
    DataFrame
        Indexed by label, with :data:`VICTIM_COLUMNS`; ``victim_of`` is a label. Classes without a
        second look are missing.
    """
    if second.empty:
        return pd.DataFrame(columns=list(VICTIM_COLUMNS), dtype=np.float64)
    first = scores.set_index("sample_id")
    keys = ["label", "donor_label", "sample_id"]
    second = second.assign(right=(second["prediction"] == second["label"]).astype(float))
    images = second.groupby(keys)[["probability", "margin", "right"]].mean().reset_index()
    met = first.loc[images["sample_id"]]
    images["lost"] = met["swap_same_probability"].to_numpy(float) - images["probability"]
    images["lost_margin"] = met["swap_same_margin"].to_numpy(float) - images["margin"]
    right = [
        np.mean(np.asarray(answers) == label)
        for answers, label in zip(met["swap_same_predictions"], met["label"], strict=True)
    ]
    images["flipped"] = np.asarray(right) - images["right"]
    images["harm"] = (images["lost"] + images["flipped"]) / 2
    searched = max(1, first["label"].nunique() - 1)
    found = {}
    for label, own in images.groupby("label"):
        pairs = dict(list(own.groupby("donor_label")))
        worst = max(pairs, key=lambda donor: pairs[donor]["harm"].mean())
        effect = bootstrap_mean(pairs[worst]["harm"], seed)
        p_value = TESTS[test](pairs[worst]["lost_margin"])
        found[label] = {
            "victim_harm": effect.value,
            "victim_harm_low": effect.low,
            "victim_harm_high": effect.high,
            "victim_gap": float(pairs[worst]["lost"].mean()),
            "victim_flips": float(pairs[worst]["flipped"].mean()),
            "victim_p": min(1.0, p_value * searched) if p_value == p_value else np.nan,
            "victim_of": worst,
        }
    table = pd.DataFrame.from_dict(found, orient="index")
    table["victim_q"] = false_discovery(table["victim_p"])
    return table[list(VICTIM_COLUMNS)]

"""The follow-up's effects: what a class loses to the background of one other class."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from audit.verdicts.statistics import (
    TESTS,
    UNDEFINED,
    EffectSize,
    bootstrap_mean,
    false_discovery,
)


@dataclass(frozen=True)
class OneClassLoss:
    """What a class loses to the background of the one other class that costs it most.

    Parameters
    ----------
    harm : EffectSize
        Mean of the next two, 0..1.
    probability_loss, decisions_changed : float
        Of the right class, beyond backgrounds of its own class.
    p_value : float
        One-sided, corrected for the choice of the donor class.
    q_value : float
        Under Benjamini-Hochberg over the classes that were followed up.
    donor_label : int or None
        The attracting class; None without a follow-up.
    """

    harm: EffectSize = UNDEFINED
    probability_loss: float = float("nan")
    decisions_changed: float = float("nan")
    p_value: float = float("nan")
    q_value: float = float("nan")
    donor_label: int | None = None


def one_class_losses(
    scores: pd.DataFrame, follow_up: pd.DataFrame, seed: int = 0, test: str = "t"
) -> dict[int, OneClassLoss]:
    """Measure for each class the loss to the one background that costs it most.

    For image ``i`` and donor class ``d``: ``v = p_y(same-class swaps) - mean p_y(fresh swaps on
    backgrounds of d)``. The loss of probability is the mean of ``v`` over the images, the share of
    decisions changed how many more of them are wrong there than on backgrounds of the own class,
    and the harm the mean of the two, all for the ``d`` where that is largest: both measure the
    same loss, but a share of few decisions is coarse, and a probability moves little where a model
    was never sure. The p-value is that of the paired test on the margins, times the number of
    donor classes among which ``d`` was found (Bonferroni).

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    follow_up : DataFrame
        All rows of ``follow_up.parquet``.
    seed : int
        Of the bootstrap.
    test : str
        Key of :data:`audit.verdicts.statistics.TESTS`.

    Returns
    -------
    dict of int to OneClassLoss
        By label; classes that were not followed up are missing.
    """
    if follow_up.empty:
        return {}
    images = _images(scores, follow_up)
    searched = max(1, scores["label"].nunique() - 1)
    found = {}
    for label, own in images.groupby("label"):
        pairs = {int(str(donor)): pair for donor, pair in own.groupby("donor_label")}
        worst = max(pairs, key=lambda donor: float(pairs[donor]["harm"].mean()))
        p_value = TESTS[test](pairs[worst]["lost_margin"])
        found[int(str(label))] = OneClassLoss(
            harm=bootstrap_mean(pairs[worst]["harm"], seed),
            probability_loss=float(pairs[worst]["lost"].mean()),
            decisions_changed=float(pairs[worst]["flipped"].mean()),
            p_value=min(1.0, p_value * searched) if p_value == p_value else float("nan"),
            donor_label=worst,
        )
    q_values = false_discovery([loss.p_value for loss in found.values()])
    return {
        label: replace(loss, q_value=float(q))
        for (label, loss), q in zip(found.items(), q_values, strict=True)
    }


def _images(scores: pd.DataFrame, follow_up: pd.DataFrame) -> pd.DataFrame:
    """One row an image and donor class: its losses beyond those on backgrounds of its own class."""
    first = scores.set_index("sample_id")
    keys = ["label", "donor_label", "sample_id"]
    answered = follow_up.assign(right=(follow_up["prediction"] == follow_up["label"]).astype(float))
    images = answered.groupby(keys)[["probability", "margin", "right"]].mean().reset_index()
    met = first.loc[images["sample_id"]]
    images["lost"] = met["swap_same_probability"].to_numpy(float) - images["probability"]
    images["lost_margin"] = met["swap_same_margin"].to_numpy(float) - images["margin"]
    right = [
        np.mean(np.asarray(answers) == label)
        for answers, label in zip(met["swap_same_predictions"], met["label"], strict=True)
    ]
    images["flipped"] = np.asarray(right) - images["right"]
    images["harm"] = (images["lost"] + images["flipped"]) / 2
    return images

"""The follow-up's effects: what a class loses to the background of one other class."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.verdicts.more_images import STAGES, level_of
from audit.verdicts.statistics import (
    LEVEL,
    TESTS,
    UNDEFINED,
    EffectSize,
    bootstrap,
    bootstrap_mean,
)

LOOKS = 2
"""How often a pair may be looked at: each p-value is multiplied by it (Bonferroni)."""


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
        One-sided, corrected for the choice of the donor class and for looking twice.
    q_value : float
        Under Benjamini-Hochberg over the classes that were followed up.
    donor_label : int or None
        The attracting class; None without a follow-up.
    share : EffectSize
        The harm as a share of what the class has to lose (:func:`base_of`): of the donor class
        for which its upper end is highest, so that less than this end is lost to any.
    share_label : int or None
        That donor class.
    donor_classes : int
        How many were followed up.
    """

    harm: EffectSize = UNDEFINED
    probability_loss: float = float("nan")
    decisions_changed: float = float("nan")
    p_value: float = float("nan")
    q_value: float = float("nan")
    donor_label: int | None = None
    share: EffectSize = UNDEFINED
    share_label: int | None = None
    donor_classes: int = 0


def one_class_losses(
    scores: pd.DataFrame,
    follow_up: pd.DataFrame,
    seed: int = 0,
    test: str = "t",
    twice: Collection[int] = (),
) -> dict[int, OneClassLoss]:
    """Measure for each class the loss to the one background that costs it most.

    For image ``i`` and donor class ``d``: ``v = mean p_y(same-class swaps) - mean p_y(fresh swaps
    on backgrounds of d)``; the same-class swaps are those of the first pass and the fresh ones. The
    loss of probability is the mean of ``v`` over the images, the share of decisions changed how
    many more of them are wrong there than on backgrounds of the own class, and the harm the mean
    of the two, all for the ``d`` where that is largest: both measure the same loss, but a share of
    few decisions is coarse, and a probability moves little where a model was never sure. The
    p-value is that of the paired test on the margins, times the number of donor classes among
    which ``d`` was found, times :data:`LOOKS`.

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
    twice : collection of int
        Labels that are given half the error; see :mod:`audit.verdicts.more_images`.

    Returns
    -------
    dict of int to OneClassLoss
        By label, without q-values, which only all classes together tell; classes that were not
        followed up are missing.
    """
    if follow_up.empty:
        return {}
    searched = LOOKS * max(1, scores["label"].nunique() - 1)
    return {
        label: _worst(
            pairs,
            searched * (STAGES if label in twice else 1),
            seed,
            test,
            level_of(label, twice),
        )
        for label, pairs in _pairs(pair_losses(scores, follow_up)).items()
    }


Pair = Mapping[str, NDArray[np.float64]]
"""The columns of :func:`pair_losses` for the images of one label and one donor class."""


def _pairs(losses: pd.DataFrame) -> dict[int, dict[int, Pair]]:
    """The losses by label and donor class."""
    columns = {name: losses[name].to_numpy(np.float64) for name in LOSSES if name in losses}
    found: dict[int, dict[int, Pair]] = {}
    if losses.empty:
        return found
    pairs = losses.groupby(["label", "donor_label"])
    sizes = pairs.size()
    order, ends = np.argsort(pairs.ngroup(), kind="stable"), np.cumsum(sizes)
    for (label, donor), at in zip(sizes.index, np.split(order, ends[:-1]), strict=True):
        pair = {name: column[at] for name, column in columns.items()}
        found.setdefault(int(label), {})[int(donor)] = pair
    return found


def _worst(
    pairs: Mapping[int, Pair], searched: int, seed: int, test: str, level: float
) -> OneClassLoss:
    worst = max(pairs, key=lambda donor: _mean(pairs[donor]["harm"]))
    shares = {donor: share_of(pair, seed, level) for donor, pair in pairs.items()}
    # An undefined end excludes nothing.
    highest = max(shares, key=lambda donor: np.nan_to_num(shares[donor].high, nan=np.inf))
    p_value = TESTS[test](pairs[worst]["lost_margin"])
    return OneClassLoss(
        harm=bootstrap_mean(pairs[worst]["harm"], seed, level),
        probability_loss=_mean(pairs[worst]["lost"]),
        decisions_changed=_mean(pairs[worst]["flipped"]),
        p_value=min(1.0, p_value * searched) if p_value == p_value else float("nan"),
        donor_label=worst,
        share=shares[highest],
        share_label=highest,
        donor_classes=len(pairs),
    )


def _mean(values: NDArray[np.float64]) -> float:
    return float(pd.Series(values).mean())


def share_of(pair: Pair, seed: int = 0, level: float = LEVEL) -> EffectSize:
    """The harm of one pair as a share of what the class has to lose; NaN where that is nothing.

    Parameters
    ----------
    pair : mapping of str to float (n,)
        Columns ``harm`` and ``base`` of one pair from :func:`pair_losses`.
    seed : int
        Of the bootstrap.
    level : float
        Of the interval, 0..1.
    """

    def ratio(harm: NDArray[np.float64], base: NDArray[np.float64]) -> NDArray[np.float64]:
        base_values: NDArray[np.float64] = np.asarray(base, np.float64)
        return np.asarray(harm) / np.where(base_values > 0, base_values, np.nan)

    return bootstrap([pair["harm"], pair["base"]], ratio, seed, level=level)


LOSSES = ("lost", "lost_margin", "flipped", "harm", "base")


def pair_losses(scores: pd.DataFrame, follow_up: pd.DataFrame) -> pd.DataFrame:
    """One row an image and donor class: its losses beyond those on backgrounds of its own class.

    Returns
    -------
    DataFrame
        ``label, donor_label, sample_id``; ``lost`` (probability), ``lost_margin``, ``flipped``
        (decisions), ``harm`` (mean of the first and the third), ``base``: the same mean of
        probability and right decisions on backgrounds of its own class, which is what can be lost.
    """
    keys = ["label", "donor_label", "sample_id"]
    answered = follow_up.assign(right=(follow_up["prediction"] == follow_up["label"]).astype(float))
    images = answered.groupby(keys)[["probability", "margin", "right"]].mean().reset_index()
    at_home = answered[answered["donor_label"] == answered["label"]]
    images = images[images["donor_label"] != images["label"]].reset_index(drop=True)
    same = _on_own_backgrounds(scores, at_home).loc[images["sample_id"]].reset_index(drop=True)
    images["lost"] = same["probability"] - images["probability"]
    images["lost_margin"] = same["margin"] - images["margin"]
    images["flipped"] = same["right"] - images["right"]
    images["harm"] = (images["lost"] + images["flipped"]) / 2
    images["base"] = (same["probability"] + same["right"]) / 2
    return images


def _on_own_backgrounds(scores: pd.DataFrame, fresh: pd.DataFrame) -> pd.DataFrame:
    """Means over all same-class swaps of an image, of the first pass and fresh, by sample."""
    first = scores[scores["swap_same_probability"].notna()]
    lists = first["swap_same_predictions"].tolist()
    counts = np.array([len(predictions) for predictions in lists], dtype=np.float64)
    labels = np.repeat(first["label"].to_numpy(), counts.astype(np.int64))
    place = np.repeat(np.arange(len(lists)), counts.astype(np.int64))
    answers = np.concatenate(lists) if lists else labels
    with np.errstate(invalid="ignore"):
        right = np.bincount(place, answers == labels, len(lists)) / counts
    means = pd.DataFrame(
        {
            "probability": first["swap_same_probability"].to_numpy(np.float64),
            "margin": first["swap_same_margin"].to_numpy(np.float64, na_value=np.nan),
            "right": right,
        },
        index=first["sample_id"].to_numpy(),
    )
    totals = means.mul(counts, axis=0)
    number = pd.Series(counts, means.index)
    again = fresh.groupby("sample_id")[["probability", "margin", "right"]].agg(["sum", "size"])
    for name in means.columns if len(again) else ():
        totals[name] = totals[name].add(again[name, "sum"], fill_value=0.0)
    if len(again):
        number = number.add(again["probability", "size"], fill_value=0.0)
    pooled: pd.DataFrame = totals.div(number, axis=0)
    return pooled


def undecided_pairs(losses: pd.DataFrame, floor: float, labels: Iterable[int]) -> pd.DataFrame:
    """The pairs that fresh donors may settle: the interval of the share holds the floor.

    Parameters
    ----------
    losses : DataFrame
        From :func:`pair_losses`.
    floor : float
        Of a harm.
    labels : iterable of int
        Classes that are still open.

    Returns
    -------
    DataFrame
        ``label`` and ``donor_label``: of each class the pair whose share reaches highest.
    """
    still, worst = set(labels), dict[int, tuple[float, int]]()
    for label, pairs in _pairs(losses[losses["label"].isin(list(still))]).items():
        for donor, pair in pairs.items():
            share = share_of(pair)
            if share.low < floor <= share.high:
                worst[label] = max(worst.get(label, (0.0, donor)), (share.high, donor))
    kept = [(label, donor) for label, (_, donor) in worst.items()]
    return pd.DataFrame(kept, columns=["label", "donor_label"])

"""What each class owes to its background: one row a class, every effect with its interval.

The swap effects of an image ``i`` of class ``y``, means over its donors:

- ``g = p_y(same-class swap) - p_y(other-class swap)``, in probability;
- ``h = (margin_y(same) - margin_y(other)) / scale``, scale = median |margin| of the dataset;
- ``hx``: ``h`` with the donor's own class left out of the rivals in the other-class swap.

A class's ``background_gap`` (G), ``margin_gap`` (H) and ``own_margin_gap`` (HX) are their means
over the class's images; ``p_value`` tests H > 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.measuring.swap_table import each_swap
from audit.scoring import FULL_FOREGROUND, SCORED
from audit.verdicts.affected import victim_effects
from audit.verdicts.rfs import relative_foreground_sensitivity
from audit.verdicts.statistics import (
    TESTS,
    Effect,
    bootstrap_mean,
    false_discovery,
    rate_excess,
    robust_z,
)

EFFECTS = (
    "foreground_area",
    "foreground_mass",
    "mass_lift",
    "background_gap",
    "margin_gap",
    "own_margin_gap",
    "attraction",
    "background_only",
    "rfs",
)
"""Columns that come with ``_low`` and ``_high``."""


_GAPS = {"background_gap": "g", "margin_gap": "h", "own_margin_gap": "hx"}


def swap_effects(scores: pd.DataFrame) -> pd.DataFrame:
    """Add ``g``, ``h`` and ``hx`` of each image; NaN where it met no donor of either kind."""
    known = np.abs(_number(scores, "margin"))
    known = known[~np.isnan(known)]
    scale = float(np.median(known)) if len(known) else np.nan
    scale = scale if scale > 0 else np.nan
    same, other = _number(scores, "swap_same_margin"), _number(scores, "swap_other_margin")
    own = _number(scores, "swap_other_own_margin")
    g = _number(scores, "swap_same_probability") - _number(scores, "swap_other_probability")
    return scores.assign(g=g, h=(same - other) / scale, hx=(same - own) / scale)


def _number(scores: pd.DataFrame, column: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = scores[column].to_numpy(dtype=np.float64, na_value=np.nan)
    return values


def class_effects(
    scores: pd.DataFrame,
    class_names: Mapping[int, str],
    seed: int = 0,
    second: pd.DataFrame | None = None,
    test: str = "t",
) -> pd.DataFrame:
    """Measure every class.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    class_names : mapping of int to str
        The classes to report, by label; those without images get a row of nulls.
    seed : int
        Of the bootstrap.
    second : DataFrame, optional
        All rows of ``follow_up.parquet``; None before the second look.
    test : str
        Key of :data:`audit.verdicts.statistics.TESTS`.

    Returns
    -------
    DataFrame
        One row a class in the order of the labels: counts, precision, recall, f1, the
        :data:`EFFECTS` with intervals, ``attraction_p``, ``background_only_p``, ``p_value``,
        ``q_value``, ``lift_z``, ``judged`` (images that met donors of both kinds), ``covered``
        (images that were measured, or have no background to measure), and the second look's
        :data:`~audit.verdicts.affected.VICTIM_COLUMNS`.
    """
    scores = swap_effects(scores)
    attraction = _attraction(scores)
    alone = _background_only(scores)
    typical = _typical_gap(scores)
    predicted = scores["prediction"].value_counts()
    rows = []
    for label, name in sorted(class_names.items()):
        own = scores[scores["label"] == label]
        row: dict[str, Any] = {"label": label, "label_name": name}
        row |= _counts(own, int(predicted.get(label, 0)), label)
        for effect in ("foreground_area", "foreground_mass", "mass_lift"):
            row |= _spread(effect, bootstrap_mean(_number(own, effect), seed))
        for effect, column in (
            ("background_gap", "g"),
            ("margin_gap", "h"),
            ("own_margin_gap", "hx"),
        ):
            row |= _spread(effect, bootstrap_mean(own[column], seed))
        row |= _spread("attraction", attraction.get(label, _NOTHING), with_p=True)
        row |= _spread("background_only", alone.get(label, _NOTHING), with_p=True)
        row["decision_gap"] = _decision_gap(own, label)
        row["typical_gap"], row["donor_classes"] = typical.get(label, (np.nan, 0))
        row |= _spread("rfs", relative_foreground_sensitivity(own, seed))
        for effect in ("mass_lift_eroded", "mass_lift_dilated"):
            row[effect] = float(np.nanmean(held)) if len(held := own[effect].dropna()) else np.nan
        row["p_value"] = TESTS[test](own["h"])
        rows.append(row)
    table = pd.DataFrame(rows)
    table["q_value"] = false_discovery(table["p_value"])
    table["attraction_q"] = false_discovery(table["attraction_p"])
    table["background_only_q"] = false_discovery(table["background_only_p"])
    table["lift_z"] = robust_z(table["mass_lift"])
    looked = scores.iloc[:0] if second is None else second
    again = victim_effects(scores, looked, seed, test)
    return table.join(again, on="label")


_NOTHING = Effect(float("nan"), float("nan"), float("nan"))


def _spread(name: str, effect: Effect, with_p: bool = False) -> dict[str, float]:
    found = {name: effect.value, f"{name}_low": effect.low, f"{name}_high": effect.high}
    return found | ({f"{name}_p": effect.p_value} if with_p else {})


def _counts(own: pd.DataFrame, predicted: int, label: int) -> dict[str, Any]:
    answered = own["prediction"].notna()
    hits = int((own.loc[answered, "prediction"] == label).sum())
    recall = hits / int(answered.sum()) if answered.any() else float("nan")
    precision = hits / predicted if predicted else float("nan")
    # Never predicted: precision is undefined, and F1 is 0 by its counting form 2TP/(2TP+FP+FN).
    both = int(answered.sum()) + predicted
    return {
        "images": len(own),
        "scored": int((own["status"] == SCORED).sum()),
        "covered": int(own["status"].isin((SCORED, FULL_FOREGROUND)).sum()),
        "answered": int(answered.sum()),
        "judged": int(own["g"].notna().sum()),
        "precision": precision,
        "recall": recall,
        "f1": 2 * hits / both if both and answered.any() else float("nan"),
        "mean_confidence": float(own["confidence"].mean()) if answered.any() else float("nan"),
    }


def _decision_gap(own: pd.DataFrame, label: int) -> float:
    """How many fewer decisions are right on other classes' backgrounds than on its own class's."""
    lists = ("swap_same_predictions", "swap_other_predictions")
    met = own[own[lists[0]].map(_is_held) & own[lists[1]].map(_is_held)]
    if met.empty:
        return float("nan")
    same, other = (
        np.mean([np.mean(np.asarray(answers) == label) for answers in met[name]]) for name in lists
    )
    return float(same - other)


def _is_held(answers: Any) -> bool:
    return answers is not None


def _typical_gap(scores: pd.DataFrame) -> dict[int, tuple[float, int]]:
    """For each class: the median over donor classes of its mean loss, and how many there were."""
    cells = each_swap(scores).groupby(["label", "donor_label"])["lost"].mean().dropna()
    if cells.empty:
        return {}
    found = cells.groupby("label").agg(["median", "size"])
    return {int(label): (float(m), int(n)) for label, m, n in found.itertuples()}


def _attraction(scores: pd.DataFrame) -> dict[int, Effect]:
    """For each class: objects of other classes that become it on its backgrounds.

    The base rate counts the same among other-class swaps in which neither the object nor the
    background is of the class.
    """
    swaps = each_swap(scores)
    objects, donors, answers = (
        swaps[name].to_numpy(dtype=np.int64) for name in ("label", "donor_label", "prediction")
    )
    found = {}
    for label in np.unique(donors):
        of_class = donors == label
        neutral = (donors != label) & (objects != label)
        became = answers == label
        found[int(label)] = rate_excess(
            int((of_class & became).sum()),
            int(of_class.sum()),
            int((neutral & became).sum()),
            int(neutral.sum()),
        )
    return found


def _background_only(scores: pd.DataFrame) -> dict[int, Effect]:
    """For each class: how often its background alone still gives it, beyond the base rate."""
    met = scores[scores["background_only_prediction"].notna()]
    labels = met["label"].to_numpy(dtype=np.int64)
    answers = met["background_only_prediction"].to_numpy(dtype=np.int64)
    found = {}
    for label in np.unique(labels):
        own = labels == label
        gives = answers == label
        found[int(label)] = rate_excess(
            int((own & gives).sum()), int(own.sum()), int((~own & gives).sum()), int((~own).sum())
        )
    return found


def confusions(scores: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    """How often which label was answered with which class; correct answers among them."""
    answered = scores[scores["prediction"].notna()]
    counted = (
        answered.assign(prediction=answered["prediction"].astype("int64"))
        .groupby(["label", "label_name", "prediction"])
        .size()
        .reset_index(name="count")
    )
    counted["prediction_name"] = [class_names[p] for p in counted["prediction"]]
    return counted

"""What the swaps did, per image and per class: losses, and how often an answer changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.measuring.swap_table import each_swap
from audit.verdicts.rates import rate_excess
from audit.verdicts.statistics import (
    EffectSize,
)


def swap_effects(scores: pd.DataFrame) -> pd.DataFrame:
    """Add ``g``, ``h`` and ``hx`` of each image; NaN where it met no donor of either kind.

    See :mod:`audit.verdicts.effects` for what they are.
    """
    known = np.abs(numbers(scores, "margin"))
    known = known[~np.isnan(known)]
    scale = float(np.median(known)) if len(known) else np.nan
    scale = scale if scale > 0 else np.nan
    same, other = numbers(scores, "swap_same_margin"), numbers(scores, "swap_other_margin")
    own = numbers(scores, "swap_other_own_margin")
    g = numbers(scores, "swap_same_probability") - numbers(scores, "swap_other_probability")
    return scores.assign(g=g, h=(same - other) / scale, hx=(same - own) / scale)


def numbers(scores: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """A column as float64 ``(n,)``; NaN where there is none."""
    values: NDArray[np.float64] = scores[column].to_numpy(dtype=np.float64, na_value=np.nan)
    return values


def decision_gap(rows: pd.DataFrame, label: int) -> float:
    """How many fewer decisions are right on other classes' backgrounds than on its own class's."""
    lists = ("swap_same_predictions", "swap_other_predictions")
    swapped = rows[rows[lists[0]].map(_is_held) & rows[lists[1]].map(_is_held)]
    if swapped.empty:
        return float("nan")
    same, other = (
        np.mean([np.mean(np.asarray(answers) == label) for answers in swapped[name]])
        for name in lists
    )
    return float(same - other)


def _is_held(answers: object) -> bool:
    return answers is not None


def typical_gaps(scores: pd.DataFrame) -> dict[int, tuple[float, int]]:
    """For each class: the median over donor classes of its mean loss, and how many there were."""
    cells = each_swap(scores).groupby(["label", "donor_label"])["lost"].mean().dropna()
    if cells.empty:
        return {}
    found = cells.groupby("label").agg(["median", "size"])
    return {int(label): (float(m), int(n)) for label, m, n in found.itertuples()}


def neutral_gaps(scores: pd.DataFrame, attraction: Mapping[int, EffectSize]) -> dict[int, float]:
    """For each class: its mean loss on backgrounds of classes that attract nothing.

    Who loses there depends on its own background; who loses elsewhere alone is affected by
    another's. A class attracts nothing where its attraction's interval reaches down to 0; where
    every donor class attracts, the one that does so least stands for them.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    attraction : mapping of label to EffectSize
        From :func:`attractions`.
    """
    cells = each_swap(scores).groupby(["label", "donor_label"])["lost"].mean().dropna()
    found = {}
    for label, own in cells.reset_index().groupby("label"):
        losses = dict(zip(own["donor_label"].tolist(), own["lost"].tolist(), strict=True))
        least = min(losses, key=lambda donor: (attraction[donor].value, donor))
        neutral = [donor for donor in losses if not attraction[donor].low > 0] or [least]
        found[int(str(label))] = float(np.mean([losses[donor] for donor in neutral]))
    return found


def votes_taken(rows: pd.DataFrame) -> dict[int, float]:
    """For each donor class: how often these objects become it on its backgrounds.

    Beyond how often they become it on backgrounds of their own class.

    Parameters
    ----------
    rows : DataFrame
        The rows of one class.
    """
    swaps = each_swap(rows)
    same = rows["swap_same_predictions"].dropna().explode().to_numpy()
    found = {}
    for donor, own in swaps.groupby("donor_label"):
        became = float((own["prediction"] == donor).mean())
        found[int(str(donor))] = became - (float(np.mean(same == donor)) if len(same) else 0.0)
    return found


def attractions(scores: pd.DataFrame) -> dict[int, EffectSize]:
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


def backgrounds_alone(scores: pd.DataFrame) -> dict[int, EffectSize]:
    """For each class: how often its background alone still gives it, beyond the base rate."""
    measured = scores[scores["background_only_prediction"].notna()]
    labels = measured["label"].to_numpy(dtype=np.int64)
    answers = measured["background_only_prediction"].to_numpy(dtype=np.int64)
    found = {}
    for label in np.unique(labels):
        own = labels == label
        gives = answers == label
        found[int(label)] = rate_excess(
            int((own & gives).sum()), int(own.sum()), int((~own & gives).sum()), int((~own).sum())
        )
    return found


def rows_by_label(scores: pd.DataFrame) -> Callable[[int], pd.DataFrame]:
    """How to take the rows of one class, none where it has none; the table is searched once."""
    places = scores.groupby("label").indices
    nothing = np.empty(0, np.intp)
    return lambda label: scores.iloc[places.get(label, nothing)]

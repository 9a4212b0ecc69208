"""What the swaps did, per image and per class: losses, and how often an answer changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.verdicts.by_class import numbers
from audit.verdicts.rates import rate_excess
from audit.verdicts.statistics import EffectSize


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


def cells_of(swaps: pd.DataFrame) -> pd.Series[float]:
    """The mean loss of each pair of classes that met, by label and donor class.

    Parameters
    ----------
    swaps : DataFrame
        From :func:`audit.measuring.swap_table.each_swap`.
    """
    return swaps.groupby(["label", "donor_label"])["lost"].mean().dropna()


def typical_gaps(cells: pd.Series[float]) -> dict[int, tuple[float, int]]:
    """For each class: the median over donor classes of its mean loss, and how many there were.

    Parameters
    ----------
    cells : Series
        From :func:`cells_of`.
    """
    if cells.empty:
        return {}
    found = cells.groupby("label").agg(["median", "size"])
    return {int(label): (float(m), int(n)) for label, m, n in found.itertuples()}


def neutral_gaps(cells: pd.Series[float], attraction: Mapping[int, EffectSize]) -> dict[int, float]:
    """For each class: its mean loss on backgrounds of classes that attract nothing.

    Who loses there depends on its own background; who loses elsewhere alone is affected by
    another's. A class attracts nothing where its attraction's interval reaches down to 0; where
    every donor class attracts, the one that does so least stands for them.

    Parameters
    ----------
    cells : Series
        From :func:`cells_of`.
    attraction : mapping of label to EffectSize
        From :func:`attractions`.
    """
    if cells.empty:
        return {}
    labels, donors = (cells.index.get_level_values(level).to_numpy() for level in (0, 1))
    losses = cells.to_numpy(np.float64)
    attracts = np.array([attraction[donor].low > 0 for donor in donors.tolist()], bool)
    starts = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1)).tolist()
    found = {}
    for start, end in zip(starts, [*starts[1:], len(labels)], strict=True):
        own = losses[start:end][~attracts[start:end]]
        if not len(own):
            met = donors[start:end].tolist()
            least = min(range(len(met)), key=lambda k: (attraction[met[k]].value, met[k]))
            own = losses[start + least : start + least + 1]
        found[int(labels[start])] = float(np.mean(own))
    return found


def votes_taken(
    donors: NDArray[np.int64], answers: NDArray[np.int64], at_home: NDArray[np.int64]
) -> dict[int, float]:
    """For each donor class: how often objects of one class become it on its backgrounds.

    Beyond how often they become it on backgrounds of their own class.

    Parameters
    ----------
    donors, answers : int (n,)
        Of each swap with the background of another class.
    at_home : int (m,)
        The answers on backgrounds of their own class.
    """
    found = {}
    for donor in np.unique(donors).tolist():
        became = float((answers[donors == donor] == donor).mean())
        found[donor] = became - (float(np.mean(at_home == donor)) if len(at_home) else 0.0)
    return found


def attractions(swaps: pd.DataFrame) -> dict[int, EffectSize]:
    """For each class: objects of other classes that become it on its backgrounds.

    The base rate counts the same among other-class swaps in which neither the object nor the
    background is of the class.

    Parameters
    ----------
    swaps : DataFrame
        From :func:`audit.measuring.swap_table.each_swap`.
    """
    objects, donors, answers = (
        swaps[name].to_numpy(dtype=np.int64) for name in ("label", "donor_label", "prediction")
    )
    same = objects == donors
    given, became = _count(donors), _count(donors[answers == donors])
    objects_of, kept = _count(objects), _count(objects[answers == objects])
    answered = _count(answers)
    both, all_three = _count(donors[same]), _count(donors[same & (answers == donors)])
    # Swaps of which neither is of the class: all, less those of which one is, plus those of both.
    return {
        label: rate_excess(
            became[label],
            given[label],
            answered[label] - became[label] - kept[label] + all_three[label],
            len(donors) - given[label] - objects_of[label] + both[label],
        )
        for label in sorted(given)
    }


def _count(labels: NDArray[np.int64]) -> Counter[int]:
    found, counts = np.unique(labels, return_counts=True)
    return Counter(dict(zip(found.tolist(), counts.tolist(), strict=True)))


def backgrounds_alone(scores: pd.DataFrame) -> dict[int, EffectSize]:
    """For each class: how often its background alone still gives it, beyond the base rate."""
    measured = scores[scores["background_only_prediction"].notna()]
    labels = measured["label"].to_numpy(dtype=np.int64)
    answers = measured["background_only_prediction"].to_numpy(dtype=np.int64)
    own, gives, right = _count(labels), _count(answers), _count(labels[answers == labels])
    return {
        label: rate_excess(
            right[label], own[label], gives[label] - right[label], len(labels) - own[label]
        )
        for label in sorted(own)
    }

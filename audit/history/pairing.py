"""What two runs have in common: images by what they hold, and the backgrounds that these met."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from audit.verdicts.swap_rates import swap_effects

DONORS = ("swap_same_donor_hashes", "swap_other_donor_hashes")
"""Columns of the scores, which older runs lack."""


def losses(scores: pd.DataFrame) -> pd.DataFrame:
    """What each image lost, by what it holds: other names, folders and orders are no other images.

    Of the foreground the area is known: one that was drawn anew has another.

    Parameters
    ----------
    scores : DataFrame
        Rows of ``scores.parquet``.

    Returns
    -------
    DataFrame
        With ``g``; its index ``(content, label_name, copy, foreground_area)``, each once.
    """
    effects = swap_effects(scores).sort_values("sample_id", kind="stable")
    # What could not be read is known by its name alone.
    effects["content"] = effects["sha256"].fillna(effects["sample_id"])
    effects["copy"] = effects.groupby(["content", "label_name"]).cumcount()
    area = effects["foreground_area"].astype("float64").fillna(-1).round(9)
    names = effects[["content", "label_name", "copy"]].assign(foreground_area=area)
    return effects.set_index(pd.MultiIndex.from_frame(names))


def count_other_masks(earlier: pd.DataFrame, later: pd.DataFrame) -> int:
    """How many images are in both, with another foreground."""
    names = ["content", "label_name", "copy"]
    first, second = (pd.MultiIndex.from_frame(scores[names]) for scores in (earlier, later))
    return len(first.intersection(second)) - len(earlier.index.intersection(later.index))


def share_of_new_donors(earlier: pd.DataFrame, later: pd.DataFrame, *, same_lists: bool) -> float:
    """The share of a class's draws that the two runs do not have in common, 0..1.

    Parameters
    ----------
    earlier, later : DataFrame
        From :func:`losses`, of one class.
    same_lists : bool
        Whether both runs are of the same images, all classes together.

    Returns
    -------
    float
        Of runs that did not write the donors down: 0 where the lists are the same, else 1.
    """
    if not all(name in scores for name in DONORS for scores in (earlier, later)):
        return 0.0 if same_lists else 1.0
    common = earlier.index.intersection(later.index)
    most = shared = 0
    for name in DONORS:
        most += max(int(scores[name].map(_count).sum()) for scores in (earlier, later))
        pairs = zip(earlier.loc[common, name], later.loc[common, name], strict=True)
        shared += sum(_shared(first, second) for first, second in pairs)
    return 1 - shared / most if most else 0.0


def _count(drawn: Sequence[str] | None) -> int:
    return 0 if drawn is None else len(drawn)


def _shared(first: Sequence[str] | None, second: Sequence[str] | None) -> int:
    return 0 if first is None or second is None else len(set(first) & set(second))

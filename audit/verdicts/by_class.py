"""The columns of the scores class by class: sorted once, then a class is a slice of each."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class ByClass:
    """The rows of each class, without a table for each.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``, or others that have a ``label``.
    """

    def __init__(self, scores: pd.DataFrame) -> None:
        labels = scores["label"].to_numpy(dtype=np.int64)
        self._scores, self._order = scores, np.argsort(labels, kind="stable")
        found, starts = np.unique(labels[self._order], return_index=True)
        ends = [*starts[1:].tolist(), len(labels)][: len(starts)]
        self._places: dict[int, tuple[int, int]] = {
            label: (start, end)
            for label, start, end in zip(found.tolist(), starts.tolist(), ends, strict=True)
        }
        self._numbers: dict[str, Floats] = {}
        self._lists: dict[str, NDArray[np.object_]] = {}

    def numbers(self, column: str, label: int) -> Floats:
        """A column of one class as float64 ``(n,)`` in the order of the rows; NaN: none."""
        if column not in self._numbers:
            self._numbers[column] = numbers(self._scores, column)[self._order]
        return self._numbers[column][self._place(label)]

    def lists(self, column: str, label: int) -> list[NDArray[np.int64]]:
        """The lists that a class has in a column; rows without one are left out."""
        if column not in self._lists:
            self._lists[column] = self._scores[column].to_numpy(dtype=object)[self._order]
        return [held for held in self._lists[column][self._place(label)] if held is not None]

    def _place(self, label: int) -> slice:
        return slice(*self._places.get(label, (0, 0)))


def numbers(scores: pd.DataFrame, column: str) -> Floats:
    """A column as float64 ``(n,)``; NaN where there is none."""
    values: Floats = scores[column].to_numpy(dtype=np.float64, na_value=np.nan)
    return values


def mean_of_some(values: Floats) -> float:
    """The mean of those that are not NaN, NaN without any."""
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else float("nan")


def right_shares(scores: pd.DataFrame) -> dict[str, Floats]:
    """The share of right answers on backgrounds of the own class, and of others, by image.

    Parameters
    ----------
    scores : DataFrame
        Rows of ``scores.parquet``.

    Returns
    -------
    dict of str to float64 (n,)
        ``same_right`` and ``other_right`` in 0..1, NaN where an image has not met both.
    """
    kinds = ("same", "other")
    lists = [scores[f"swap_{kind}_predictions"].to_numpy(dtype=object) for kind in kinds]
    swapped = np.flatnonzero(
        np.array([one is not None and two is not None for one, two in zip(*lists, strict=True)])
    )
    labels = scores["label"].to_numpy(dtype=np.int64)[swapped]
    found = {}
    for kind, held in zip(kinds, lists, strict=True):
        share = np.full(len(scores), np.nan)
        if len(swapped):
            counts = np.array([len(answers) for answers in held[swapped]])
            answered = np.concatenate(held[swapped].tolist())
            place = np.repeat(np.arange(len(swapped)), counts)
            hits = np.bincount(place, answered == labels[place], len(swapped))
            with np.errstate(invalid="ignore"):
                share[swapped] = hits / counts
        found[f"{kind}_right"] = share
    return found

"""How the images of each class were answered, in counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.findings import Status
from audit.verdicts.by_class import ByClass, numbers
from audit.verdicts.rates import wilson

COVERED = (Status.SCORED, Status.FULL_FOREGROUND, Status.BLANK_MAP)
"""Measured, or without a background to measure. A blank map says nothing of where the model looks,
but the swaps, which decide, were made all the same."""


@dataclass(frozen=True)
class Answers:
    """The images of a class in counts, and how well it is recognised.

    Parameters
    ----------
    images, scored, answered : int
        All, those that were scored, those that the model answered.
    covered : int
        Those that were measured, or have no background to measure.
    judged : int
        Those that met donors of both kinds.
    precision, recall, f1, mean_confidence : float
        In 0..1; NaN where undefined.
    recall_low, recall_high : float
        The 95 % interval of the recall.
    """

    images: int
    scored: int
    covered: int
    answered: int
    judged: int
    precision: float
    recall: float
    f1: float
    mean_confidence: float
    recall_low: float
    recall_high: float


def answers_of(scores: pd.DataFrame, rows: ByClass) -> Callable[[int], Answers]:
    """How to count the images of one class.

    Parameters
    ----------
    scores : DataFrame
        From :func:`audit.verdicts.swap_rates.swap_effects`.
    rows : ByClass
        The same, class by class.
    """
    labels, status = scores["label"].to_numpy(dtype=np.int64), scores["status"]
    predictions = numbers(scores, "prediction")
    answered = ~np.isnan(predictions)
    counts = {
        "images": np.ones(len(labels), bool),
        "scored": (status == Status.SCORED).to_numpy(bool),
        "covered": status.isin(COVERED).to_numpy(bool),
        "answered": answered,
        "judged": ~np.isnan(numbers(scores, "g")),
    }
    hits = _tally(labels[predictions == labels])
    predicted = _tally(predictions[answered].astype(np.int64))
    tallies = {name: _tally(labels[chosen]) for name, chosen in counts.items()}

    def count(label: int) -> Answers:
        found = {name: tally.get(label, 0) for name, tally in tallies.items()}
        confidence = rows.numbers("confidence", label)
        return _answers(found, hits.get(label, 0), predicted.get(label, 0), confidence)

    return count


def _tally(labels: NDArray[np.int64]) -> dict[int, int]:
    found, counts = np.unique(labels, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _answers(
    found: dict[str, int], hits: int, predicted: int, confidence: NDArray[np.float64]
) -> Answers:
    count, nothing = found["answered"], float("nan")
    # Never predicted: precision is undefined, and F1 is 0 by its counting form 2TP/(2TP+FP+FN).
    both = count + predicted
    low, high = wilson(hits, count)
    return Answers(
        **found,
        precision=hits / predicted if predicted else nothing,
        recall=hits / count if count else nothing,
        f1=2 * hits / both if both and count else nothing,
        mean_confidence=float(pd.Series(confidence).mean()) if count else nothing,
        recall_low=low,
        recall_high=high,
    )

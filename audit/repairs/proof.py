"""Before against after on the proof images: right answers by class, and what changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.findings import Answers, Findings, Rate, RepairedClass, WholeQuality
from audit.verdicts.rates import wilson

CHANGED = 12
"""Most pictures of swaps that are answered otherwise."""


def right_answers(scores: pd.DataFrame, label: int) -> Answers:
    """Count right answers of a class.

    Parameters
    ----------
    scores : DataFrame
        Rows of ``scores.parquet``.
    label : int
        The class.
    """
    own = scores[scores["label"] == label]
    answered = own["prediction"].dropna()

    def swaps(kind: str) -> Rate:
        predictions = [np.asarray(p) for p in own[f"swap_{kind}_predictions"] if p is not None]
        return _rate(np.concatenate(predictions) == label if predictions else np.zeros(0, bool))

    return Answers(
        own=_rate((answered == label).to_numpy(dtype=bool)),
        swapped_same=swaps("same"),
        swapped_other=swaps("other"),
    )


def _rate(right: NDArray[np.bool_]) -> Rate:
    hits, trials = int(right.sum()), len(right)
    low, high = wilson(hits, trials)
    return Rate(hits=hits, trials=trials, low=low, high=high)


def repaired_classes(
    before: tuple[Findings, pd.DataFrame], after: tuple[Findings, pd.DataFrame]
) -> tuple[RepairedClass, ...]:
    """Lay two audits of the same images beside each other, in the order of the one before.

    Parameters
    ----------
    before, after : (Findings, DataFrame)
        The record, and all rows of ``scores.parquet``.
    """
    later = {finding.label: finding for finding in after[0].findings}
    return tuple(
        RepairedClass(
            label=finding.label,
            label_name=finding.label_name,
            images=finding.images,
            before=right_answers(before[1], finding.label),
            after=right_answers(after[1], finding.label),
            verdict_before=finding.verdict,
            verdict_after=later[finding.label].verdict,
            kind_before=finding.kind,
            gap_before=finding.estimate("background_gap"),
            gap_after=later[finding.label].estimate("background_gap"),
        )
        for finding in before[0].findings
    )


def whole_quality(answers: Iterable[tuple[str, Answers]]) -> WholeQuality:
    """All classes together, from the answers of each by name."""
    answers_of = list(answers)
    own = sum(a.own.trials for _, a in answers_of)
    swapped = {
        name: a.swapped_other.value for name, a in answers_of if a.swapped_other.value is not None
    }
    worst = min(swapped, key=lambda name: swapped[name], default=None)
    return WholeQuality(
        clean=sum(a.own.hits for _, a in answers_of) / own if own else None,
        swapped=sum(swapped.values()) / len(swapped) if swapped else None,
        worst=swapped[worst] if worst is not None else None,
        worst_class=worst,
    )


def changed_swaps(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """The swaps that are answered otherwise after the repair.

    Parameters
    ----------
    before, after : DataFrame
        All rows of the two ``scores.parquet``, of the same images and donors.

    Returns
    -------
    DataFrame
        A row a swap: ``row`` of the object, ``label``, ``donor_row``, ``donor_label``,
        ``prediction_before``, ``prediction_after``, ``before`` and ``after`` (probability of the
        label); those that are right now first, the largest gain first.
    """
    first, second = _unfolded(before), _unfolded(after)
    keys = ["row", "label", "donor_row", "donor_label"]
    joined = first.merge(second, on=keys, suffixes=("_before", "_after"), validate="1:1")
    changed = joined[joined["prediction_before"] != joined["prediction_after"]]
    changed = changed.rename(columns={"probability_before": "before", "probability_after": "after"})
    gain = changed["after"] - changed["before"]
    mended = changed["prediction_after"] == changed["label"]
    return (
        changed.assign(_mended=mended, _gain=gain.abs())
        .sort_values(["_mended", "_gain"], ascending=False, kind="stable")
        .drop(columns=["_mended", "_gain"])
        .reset_index(drop=True)
    )


def _unfolded(scores: pd.DataFrame) -> pd.DataFrame:
    rows = [row for _, image in scores.iterrows() for row in _swaps_of(image)]
    names = ["row", "label", "donor_row", "donor_label", "prediction", "probability"]
    # Once drawn twice, a background counts once.
    return pd.DataFrame(rows, columns=names).drop_duplicates(["row", "donor_row"])


def _swaps_of(row: pd.Series) -> Iterator[tuple[int, int, int, int, int, float]]:
    if row["swap_other_predictions"] is None:
        return
    columns = ("donor_rows", "donor_labels", "predictions", "probabilities")
    for donor_row, donor, prediction, probability in zip(
        *(row[f"swap_other_{name}"] for name in columns), strict=True
    ):
        yield (
            int(str(row.name)),
            int(row["label"]),
            int(donor_row),
            int(donor),
            int(prediction),
            float(probability),
        )


def shown_changes(changed: pd.DataFrame) -> pd.DataFrame:
    """Choose what a reader is shown: a few of each class, mended ones first, then the others."""
    turn = changed.groupby("label").cumcount()
    mended = changed["prediction_after"] == changed["label"]
    lost = changed[(changed["prediction_before"] == changed["label"])]
    most = changed[mended].assign(_turn=turn[mended]).sort_values("_turn", kind="stable")
    kept = most.head(CHANGED - min(len(lost), CHANGED // 4)).drop(columns="_turn")
    return pd.concat([kept, lost.head(CHANGED // 4)])

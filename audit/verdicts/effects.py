"""What each class owes to its background: every effect of a class with its interval.

The swap effects of an image ``i`` of class ``y``, means over its donors:

- ``g = p_y(same-class swap) - p_y(other-class swap)``, in probability;
- ``h = (margin_y(same) - margin_y(other)) / scale``, scale = median |margin| of the dataset;
- ``hx``: ``h`` with the donor's own class left out of the rivals in the other-class swap.

A class's ``background_gap`` (G), ``margin_gap`` (H) and ``own_margin_gap`` (HX) are their means
over the class's images; ``p_value`` tests H > 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from audit.findings import Status
from audit.verdicts.affected import OneClassLoss, one_class_losses
from audit.verdicts.rates import wilson
from audit.verdicts.rfs import relative_foreground_sensitivity
from audit.verdicts.statistics import (
    TESTS,
    UNDEFINED,
    EffectSize,
    bootstrap_mean,
    false_discovery,
    robust_z,
)
from audit.verdicts.swap_rates import (
    attractions,
    backgrounds_alone,
    decision_gap,
    neutral_gaps,
    numbers,
    rows_by_label,
    swap_effects,
    typical_gaps,
)

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


@dataclass(frozen=True)
class ClassEffects:
    """One class, measured; a number that is undefined is NaN.

    Parameters
    ----------
    label, label_name : int, str
        The class.
    answers : Answers
        Its images in counts.
    foreground_area, foreground_mass, mass_lift : EffectSize
        Means over its images.
    mass_lift_eroded, mass_lift_dilated : float
        The mass lift with foregrounds drawn narrower, and wider.
    background_gap, margin_gap, own_margin_gap : EffectSize
        G, H and HX.
    attraction, background_only : EffectSize
        How much more often other objects become the class on its backgrounds, and its background
        alone is called the class.
    rfs : EffectSize
        Relative foreground sensitivity.
    p_value : float
        Of H > 0.
    decision_gap : float
        Share of the decisions that change with the background.
    typical_gap, donor_classes : float, int
        Median over donor classes of the mean loss, and how many there were.
    neutral_gap : float
        Mean loss over the donor classes that attract no other objects.
    follow_up : OneClassLoss
        What it loses to one other class's background.
    q_value, attraction_q, background_only_q : float
        Under Benjamini-Hochberg over all classes.
    lift_z : float
        Of the mass lift among those of all classes.
    """

    label: int
    label_name: str
    answers: Answers
    foreground_area: EffectSize
    foreground_mass: EffectSize
    mass_lift: EffectSize
    mass_lift_eroded: float
    mass_lift_dilated: float
    background_gap: EffectSize
    margin_gap: EffectSize
    own_margin_gap: EffectSize
    attraction: EffectSize
    background_only: EffectSize
    rfs: EffectSize
    p_value: float
    decision_gap: float
    typical_gap: float
    donor_classes: int
    neutral_gap: float
    follow_up: OneClassLoss
    q_value: float = float("nan")
    attraction_q: float = float("nan")
    background_only_q: float = float("nan")
    lift_z: float = float("nan")


def class_effects(
    scores: pd.DataFrame,
    class_names: Mapping[int, str],
    seed: int = 0,
    follow_up: pd.DataFrame | None = None,
    test: str = "t",
) -> tuple[ClassEffects, ...]:
    """Measure every class.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    class_names : mapping of int to str
        The classes to report, by label; of those without images nothing is known.
    seed : int
        Of the bootstrap.
    follow_up : DataFrame, optional
        All rows of ``follow_up.parquet``; None before the follow-up.
    test : str
        Key of :data:`audit.verdicts.statistics.TESTS`.

    Returns
    -------
    tuple of ClassEffects
        In the order of the labels.
    """
    scores = swap_effects(scores)
    attraction, alone = attractions(scores), backgrounds_alone(scores)
    typical, neutral = typical_gaps(scores), neutral_gaps(scores, attraction)
    predicted = scores["prediction"].value_counts()
    losses = {} if follow_up is None else one_class_losses(scores, follow_up, seed, test)
    rows, found = rows_by_label(scores), []
    for label, name in sorted(class_names.items()):
        own = rows(label)
        gap, donor_classes = typical.get(label, (float("nan"), 0))
        found.append(
            ClassEffects(
                label=label,
                label_name=name,
                answers=_answers(own, int(predicted.get(label, 0)), label),
                foreground_area=bootstrap_mean(numbers(own, "foreground_area"), seed),
                foreground_mass=bootstrap_mean(numbers(own, "foreground_mass"), seed),
                mass_lift=bootstrap_mean(numbers(own, "mass_lift"), seed),
                mass_lift_eroded=_mean(own, "mass_lift_eroded"),
                mass_lift_dilated=_mean(own, "mass_lift_dilated"),
                background_gap=bootstrap_mean(own["g"], seed),
                margin_gap=bootstrap_mean(own["h"], seed),
                own_margin_gap=bootstrap_mean(own["hx"], seed),
                attraction=attraction.get(label, UNDEFINED),
                background_only=alone.get(label, UNDEFINED),
                rfs=relative_foreground_sensitivity(own, seed),
                p_value=TESTS[test](own["h"]),
                decision_gap=decision_gap(own, label),
                typical_gap=gap,
                donor_classes=donor_classes,
                neutral_gap=neutral.get(label, float("nan")),
                follow_up=losses.get(label, OneClassLoss()),
            )
        )
    return _beside_each_other(found)


def _beside_each_other(classes: list[ClassEffects]) -> tuple[ClassEffects, ...]:
    """Add what only all classes together tell."""
    q_values = false_discovery([e.p_value for e in classes])
    attraction = false_discovery([e.attraction.p_value for e in classes])
    alone = false_discovery([e.background_only.p_value for e in classes])
    lifts = robust_z([e.mass_lift.value for e in classes])
    return tuple(
        replace(
            effects,
            q_value=float(q_values[position]),
            attraction_q=float(attraction[position]),
            background_only_q=float(alone[position]),
            lift_z=float(lifts[position]),
        )
        for position, effects in enumerate(classes)
    )


def _mean(rows: pd.DataFrame, column: str) -> float:
    values = rows[column].dropna()
    return float(np.nanmean(values)) if len(values) else float("nan")


def _answers(rows: pd.DataFrame, predicted: int, label: int) -> Answers:
    answered = rows["prediction"].notna()
    count = int(answered.sum())
    hits = int((rows.loc[answered, "prediction"] == label).sum())
    # Never predicted: precision is undefined, and F1 is 0 by its counting form 2TP/(2TP+FP+FN).
    both = count + predicted
    nothing = float("nan")
    low, high = wilson(hits, count)
    return Answers(
        images=len(rows),
        scored=int((rows["status"] == Status.SCORED).sum()),
        covered=int(rows["status"].isin(COVERED).sum()),
        answered=count,
        judged=int(rows["g"].notna().sum()),
        precision=hits / predicted if predicted else nothing,
        recall=hits / count if count else nothing,
        f1=2 * hits / both if both and count else nothing,
        mean_confidence=float(rows["confidence"].mean()) if count else nothing,
        recall_low=low,
        recall_high=high,
    )

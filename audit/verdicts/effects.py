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
from functools import partial

import pandas as pd

from audit.measuring.swap_table import each_swap
from audit.verdicts.affected import OneClassLoss, one_class_losses
from audit.verdicts.answers import Answers, answers_of
from audit.verdicts.by_class import ByClass, mean_of_some, right_shares
from audit.verdicts.rfs import noise_hits, relative_foreground_sensitivity
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
    cells_of,
    neutral_gaps,
    swap_effects,
    typical_gaps,
)


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
    scores = scores.assign(**right_shares(scores))
    rows, swaps = ByClass(scores), each_swap(scores)
    cells, attraction, alone = cells_of(swaps), attractions(swaps), backgrounds_alone(scores)
    typical, neutral = typical_gaps(cells), neutral_gaps(cells, attraction)
    losses = {} if follow_up is None else one_class_losses(scores, follow_up, seed, test)
    answers, found = answers_of(scores, rows), []
    for label, name in sorted(class_names.items()):
        own = partial(rows.numbers, label=label)
        gap, donor_classes = typical.get(label, (float("nan"), 0))
        found.append(
            ClassEffects(
                label=label,
                label_name=name,
                answers=answers(label),
                foreground_area=bootstrap_mean(own("foreground_area"), seed),
                foreground_mass=bootstrap_mean(own("foreground_mass"), seed),
                mass_lift=bootstrap_mean(own("mass_lift"), seed),
                mass_lift_eroded=mean_of_some(own("mass_lift_eroded")),
                mass_lift_dilated=mean_of_some(own("mass_lift_dilated")),
                background_gap=bootstrap_mean(own("g"), seed),
                margin_gap=bootstrap_mean(own("h"), seed),
                own_margin_gap=bootstrap_mean(own("hx"), seed),
                attraction=attraction.get(label, UNDEFINED),
                background_only=alone.get(label, UNDEFINED),
                rfs=relative_foreground_sensitivity(*noise_hits(rows, label), seed),
                p_value=TESTS[test](own("h")),
                decision_gap=mean_of_some(own("same_right")) - mean_of_some(own("other_right")),
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

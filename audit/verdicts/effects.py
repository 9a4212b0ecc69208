"""What each class owes to its background: every effect of a class with its interval.

The swap effects of an image ``i`` of class ``y``, means over its donors:

- ``g = p_y(same-class swap) - p_y(other-class swap)``, in probability;
- ``h = (margin_y(same) - margin_y(other)) / scale``, scale = median |margin| of the dataset;
- ``hx``: ``h`` with the donor's own class left out of the rivals in the other-class swap.

A class's ``background_gap`` (G), ``margin_gap`` (H) and ``own_margin_gap`` (HX) are their means
over the class's images; ``p_value`` tests H > 0.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from audit.measuring.swap_table import each_swap
from audit.verdicts.affected import OneClassLoss, one_class_losses
from audit.verdicts.answers import Answers, answers_of
from audit.verdicts.by_class import ByClass, mean_of_some, right_shares
from audit.verdicts.more_images import STAGES, MoreImages, laid_in, level_of
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

ONCE = MoreImages(frozenset())
"""No class is looked at twice."""


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
    judged_at_first : int or None
        Images that had met donors at the first look, where there were two.
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
    judged_at_first: int | None = None


def class_effects(
    scores: pd.DataFrame,
    class_names: Mapping[int, str],
    seed: int = 0,
    follow_up: pd.DataFrame | None = None,
    test: str = "t",
    more: MoreImages = ONCE,
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
    more : MoreImages, optional
        Which classes may be looked at twice, and what was measured of those that were.

    Returns
    -------
    tuple of ClassEffects
        In the order of the labels.
    """
    found = _effects(scores, class_names, seed, follow_up, test, more.labels)
    again = {label: class_names[label] for label in more.looked_at if label in class_names}
    if more.swaps is None or not again:
        return _beside_each_other(found)
    pairs = [table for table in (follow_up, more.follow_up) if table is not None]
    pooled = pd.concat(pairs, ignore_index=True) if pairs else None
    all_images = laid_in(scores, more.swaps)
    second = {
        one.label: one for one in _effects(all_images, again, seed, pooled, test, more.labels)
    }
    return _beside_each_other(
        [_of_both_looks(one, second[one.label]) if one.label in second else one for one in found]
    )


def _of_both_looks(first: ClassEffects, second: ClassEffects) -> ClassEffects:
    """A class by all its images; what rests on other classes' images stays that of the first look.

    The p-values are the lower ones of two, each of which counts twice: so a class that was suspect
    already does not become another for what a second look finds of others.
    """
    loss = replace(
        second.follow_up, p_value=_lower(first.follow_up.p_value, second.follow_up.p_value)
    )
    return replace(
        second,
        attraction=first.attraction,
        background_only=first.background_only,
        p_value=_lower(first.p_value, second.p_value),
        follow_up=loss,
        judged_at_first=first.answers.judged,
    )


def _lower(first: float, second: float) -> float:
    return float(np.fmin(first, second))


def _effects(
    scores: pd.DataFrame,
    class_names: Mapping[int, str],
    seed: int,
    follow_up: pd.DataFrame | None,
    test: str,
    twice: Collection[int],
) -> list[ClassEffects]:
    """Every class by what one look measured, still without what only all together tell."""
    scores = swap_effects(scores)
    scores = scores.assign(**right_shares(scores))
    rows, swaps = ByClass(scores), each_swap(scores)
    cells, attraction, alone = cells_of(swaps), attractions(swaps), backgrounds_alone(scores)
    typical, neutral = typical_gaps(cells), neutral_gaps(cells, attraction)
    losses = {} if follow_up is None else one_class_losses(scores, follow_up, seed, test, twice)
    answers, found = answers_of(scores, rows), []
    for label, name in sorted(class_names.items()):
        own = partial(rows.numbers, label=label)
        gap, donor_classes = typical.get(label, (float("nan"), 0))
        level = level_of(label, twice)
        p_value = TESTS[test](own("h")) * (STAGES if label in twice else 1)
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
                background_gap=bootstrap_mean(own("g"), seed, level),
                margin_gap=bootstrap_mean(own("h"), seed, level),
                own_margin_gap=bootstrap_mean(own("hx"), seed, level),
                attraction=attraction.get(label, UNDEFINED),
                background_only=alone.get(label, UNDEFINED),
                rfs=relative_foreground_sensitivity(*noise_hits(rows, label), seed),
                p_value=min(1.0, p_value) if p_value == p_value else p_value,
                decision_gap=mean_of_some(own("same_right")) - mean_of_some(own("other_right")),
                typical_gap=gap,
                donor_classes=donor_classes,
                neutral_gap=neutral.get(label, float("nan")),
                follow_up=losses.get(label, OneClassLoss()),
            )
        )
    return found


def _beside_each_other(classes: Sequence[ClassEffects]) -> tuple[ClassEffects, ...]:
    """Add what only all classes together tell."""
    q_values = false_discovery([e.p_value for e in classes])
    attraction = false_discovery([e.attraction.p_value for e in classes])
    alone = false_discovery([e.background_only.p_value for e in classes])
    losses = false_discovery([e.follow_up.p_value for e in classes])
    lifts = robust_z([e.mass_lift.value for e in classes])
    return tuple(
        replace(
            effects,
            q_value=float(q_values[position]),
            attraction_q=float(attraction[position]),
            background_only_q=float(alone[position]),
            follow_up=replace(effects.follow_up, q_value=float(losses[position])),
            lift_z=float(lifts[position]),
        )
        for position, effects in enumerate(classes)
    )

"""The decision: one word per class, and its kind.

A class is

- ``suspect`` when its swap test is significant under false-discovery control **and** the effect
  is at least the floor (a moderate effect only where decisions change with it); or when the
  follow-up shows, likewise significant, that *one* other class's background harms it: the mean of
  the probability lost and of the share of decisions changed is at least :data:`VICTIM_FLOOR`.
  Without the floors a harmless 1 % becomes "significant"; without the test innocent classes are
  flagged at small n.
- ``clear`` when the interval of the effect stays below the floor and no other indicator speaks.
- ``inconclusive`` when there are too few images, or the foregrounds cannot carry a verdict.
- ``watch`` otherwise: an effect of the size of the floor can neither be shown nor excluded, or
  the class's background attracts other objects although its own do without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from audit.findings import Kind, Strength, Verdict
from audit.manifest import VerdictSection
from audit.verdicts.effects import ClassEffects

OWN_MARGIN_FLOOR = 0.4
TYPICAL_CLASSES = 3
"""With fewer other classes a loss to all of them and a loss to one cannot be told apart."""
DECISIONS = 0.10
"""Share of the decisions that must change where the effect is moderate: a lower confidence alone
harms nobody. A strong effect speaks for itself."""
VICTIM_FLOOR = 0.23
"""Harm by one other class's background from which the affected class is suspect: half the
probability lost and half the share of decisions changed."""
EXCESS_FLOOR = 0.25
RECOGNISED = 0.5
"""Recall, at the lower end of its interval, below which no class is clear: it has too little to
lose for a loss to show."""
MASS_Z = -2.0


@dataclass(frozen=True)
class Criteria:
    """What a verdict is given by.

    Parameters
    ----------
    thresholds : VerdictSection
        Of the manifest.
    min_coverage : float
        Share of a class's images that must be measured, 0..1. If any class stays below it, the
        run is incomplete and no class of it is called clear; unless all that it lacks are classes
        without a single usable foreground, which is ordinary and says nothing of the others.
    has_foregrounds : bool
        Whether the audit was given foregrounds at all.
    """

    thresholds: VerdictSection
    min_coverage: float = 0.95
    has_foregrounds: bool = True


@dataclass(frozen=True)
class Decision:
    """One class with its verdict.

    Parameters
    ----------
    effects : ClassEffects
        As measured.
    coverage : float
        Share of its images that were measured, 0..1; NaN without images.
    complete : bool
        Whether all classes of the run were measured well enough.
    verdict, kind, strength
        What was decided.
    """

    effects: ClassEffects
    coverage: float
    complete: bool
    verdict: Verdict
    kind: Kind
    strength: Strength


def decide(effects: Sequence[ClassEffects], criteria: Criteria) -> tuple[Decision, ...]:
    """Give each class its verdict.

    Parameters
    ----------
    effects : sequence of ClassEffects
        From :func:`audit.verdicts.effects.class_effects`.
    criteria : Criteria
        By which.
    """
    coverage = [_coverage(one, criteria) for one in effects]
    lacking = [
        one for one, share in zip(effects, coverage, strict=True) if share < criteria.min_coverage
    ]
    complete = not lacking
    may_clear = all(_has_no_foreground(one, criteria) for one in lacking)
    decisions = []
    for one, share in zip(effects, coverage, strict=True):
        verdict = _verdict(one, share, may_clear, criteria)
        suspect = verdict is Verdict.SUSPECT
        decisions.append(
            Decision(
                effects=one,
                coverage=share,
                complete=complete,
                verdict=verdict,
                kind=_kind(one, criteria.thresholds) if suspect else Kind.NONE,
                strength=_strength(one, criteria.thresholds) if suspect else Strength.NONE,
            )
        )
    return tuple(decisions)


def _coverage(effects: ClassEffects, criteria: Criteria) -> float:
    answers = effects.answers
    if not answers.images:
        return float("nan")
    return (answers.covered if criteria.has_foregrounds else answers.answered) / answers.images


def _has_no_foreground(effects: ClassEffects, criteria: Criteria) -> bool:
    """Whether the images of a class were read and answered, and not one has an outline."""
    answers = effects.answers
    return not answers.covered and answers.answered >= criteria.min_coverage * answers.images


def _verdict(
    effects: ClassEffects, coverage: float, may_clear: bool, criteria: Criteria
) -> Verdict:
    thresholds = criteria.thresholds
    if effects.answers.judged < thresholds.minimum_images or math.isnan(effects.q_value):
        return Verdict.INCONCLUSIVE
    if loses_anywhere(effects, thresholds) or loses_to_one(effects, thresholds):
        return Verdict.SUSPECT
    if coverage < criteria.min_coverage:
        return Verdict.INCONCLUSIVE
    excluded = excludes_loss_anywhere(effects, thresholds) and excludes_loss_to_one(
        effects, thresholds
    )
    if not excluded or not has_enough_to_lose(effects) or speaks_for_itself(effects, thresholds):
        return Verdict.WATCH
    return Verdict.CLEAR if may_clear else Verdict.INCONCLUSIVE


def loses_anywhere(effects: ClassEffects, thresholds: VerdictSection) -> bool:
    """Whether other classes' backgrounds, taken together, cost the class enough."""
    gap = effects.background_gap.value
    return (
        effects.q_value <= thresholds.fdr
        and gap >= thresholds.effect
        and (gap >= thresholds.strong_effect or effects.decision_gap >= DECISIONS)
    )


def loses_to_one(effects: ClassEffects, thresholds: VerdictSection) -> bool:
    """Whether the background of one other class costs it enough, by the follow-up."""
    loss, floor = effects.follow_up, max(VICTIM_FLOOR, thresholds.effect)
    return loss.q_value <= thresholds.fdr and loss.harm.value >= floor


def excludes_loss_anywhere(effects: ClassEffects, thresholds: VerdictSection) -> bool:
    """Whether the first pass excludes a loss to other classes' backgrounds, taken together."""
    # Written so that an undefined interval excludes nothing.
    return effects.background_gap.high < thresholds.effect


def excludes_loss_to_one(effects: ClassEffects, thresholds: VerdictSection) -> bool:
    """Whether the follow-up excludes a loss to any one of the classes that it asked about."""
    return effects.follow_up.share.high < max(VICTIM_FLOOR, thresholds.effect)


def leaves_loss_open(effects: ClassEffects, thresholds: VerdictSection) -> bool:
    """Whether a loss is neither shown nor excluded, so that more images may decide."""
    shown = loses_anywhere(effects, thresholds) or loses_to_one(effects, thresholds)
    excluded = excludes_loss_anywhere(effects, thresholds) and excludes_loss_to_one(
        effects, thresholds
    )
    enough = effects.answers.judged >= thresholds.minimum_images
    return not (enough and (shown or excluded))


def has_enough_to_lose(effects: ClassEffects) -> bool:
    """Whether the class is recognised often enough for a loss to show."""
    return effects.answers.recall_low >= RECOGNISED


def speaks_for_itself(effects: ClassEffects, thresholds: VerdictSection) -> bool:
    """Whether the class's background makes this class of other things, or of nothing at all."""
    return any(
        q <= thresholds.fdr and excess.value >= EXCESS_FLOOR
        for q, excess in (
            (effects.attraction_q, effects.attraction),
            (effects.background_only_q, effects.background_only),
        )
    )


def _kind(effects: ClassEffects, thresholds: VerdictSection) -> Kind:
    """Own shortcut, or affected by another class's: they want different repairs.

    Who depends on its own background loses on whatever else stands behind it, and so on the
    backgrounds that attract nothing: there an affected class loses nothing.
    """
    if speaks_for_itself(effects, thresholds):
        return Kind.OWN_SHORTCUT
    if effects.donor_classes < TYPICAL_CLASSES:
        own = effects.own_margin_gap.value >= OWN_MARGIN_FLOOR
    else:
        own = effects.neutral_gap >= thresholds.effect
    return Kind.OWN_SHORTCUT if own else Kind.VICTIM


def _strength(effects: ClassEffects, thresholds: VerdictSection) -> Strength:
    strong = effects.background_gap.value >= thresholds.strong_effect
    return Strength.STRONG if strong else Strength.MODERATE


def leans_by_mass(effects: ClassEffects) -> bool:
    """Whether its maps lie unusually far off the object, compared with the other classes."""
    return effects.lift_z <= MASS_Z

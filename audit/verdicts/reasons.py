"""Why a class has its verdict and what to do next, by rule; the sentences are the report's."""

from __future__ import annotations

import math

from audit.findings import Code, Kind, Reason, Verdict
from audit.manifest import VerdictSection
from audit.verdicts.decide import (
    DECISIONS,
    EXCESS_FLOOR,
    VICTIM_FLOOR,
    Criteria,
    Decision,
    leans_by_mass,
    loses_anywhere,
)
from audit.verdicts.effects import ClassEffects
from audit.verdicts.indicators import agreement
from audit.verdicts.statistics import EffectSize

ENOUGH_IMAGES = 100_000
"""Beyond this a number of images is no advice."""


def reasons(
    decision: Decision, attracting_class: str | None, criteria: Criteria
) -> tuple[Reason, ...]:
    """Why this class has its verdict, the strongest reason first.

    Parameters
    ----------
    decision : Decision
        From :func:`audit.verdicts.decide.decide`.
    attracting_class : str or None
        Who takes the votes of an affected class.
    criteria : Criteria
        By which it was decided.
    """
    effects, thresholds = decision.effects, criteria.thresholds
    if decision.verdict is Verdict.INCONCLUSIVE:
        return (*_too_little(decision, criteria), *_seldom_recognised(effects))
    said = _swap(decision, attracting_class, thresholds)
    if decision.verdict is Verdict.SUSPECT:
        said.append(_kind(decision.kind, attracting_class))
    if decision.verdict is Verdict.WATCH and effects.background_gap.high >= thresholds.effect:
        said.append(_reason(Code.NEITHER_SHOWN_NOR_EXCLUDED, images=effects.answers.judged))
        said += _images_that_would_do(effects, thresholds)
    if decision.verdict is Verdict.SUSPECT:
        said.append(agreement(effects, thresholds))
    said += _other_indicators(decision)
    return (*said, *_seldom_recognised(effects), *_outline(effects))


def _reason(code: Code, **values: float | str | None) -> Reason:
    return Reason(code=code, values=values)


def _interval(name: str, size: EffectSize) -> dict[str, float]:
    return {name: size.value, f"{name}_low": size.low, f"{name}_high": size.high}


def _swap(
    decision: Decision, attracting_class: str | None, thresholds: VerdictSection
) -> list[Reason]:
    """What the swap experiment showed."""
    effects, floor = decision.effects, thresholds.effect
    gap = _interval("gap", effects.background_gap)
    if decision.verdict is Verdict.SUSPECT and not loses_anywhere(effects, thresholds):
        loss = effects.follow_up
        return [
            _reason(
                Code.LOSS_TO_ONE_CLASS,
                attracting_class=attracting_class,
                probability_loss=loss.probability_loss,
                decisions_changed=loss.decisions_changed,
                **_interval("harm", loss.harm),
                floor=max(VICTIM_FLOOR, floor),
                q=loss.q_value,
                **gap,
            )
        ]
    if decision.verdict is Verdict.SUSPECT:
        return [_reason(Code.LOSS_EVERYWHERE, **gap, floor=floor, q=effects.q_value)]
    if decision.verdict is Verdict.CLEAR:
        return [_reason(Code.EFFECT_EXCLUDED, **gap, floor=floor)]
    said = [_reason(Code.LOSS_MEASURED, **gap, floor=floor)]
    if effects.q_value <= thresholds.fdr and effects.background_gap.value >= floor:
        changed = max(0.0, effects.decision_gap)
        said.append(_reason(Code.FEW_DECISIONS_CHANGE, decisions=changed, needed=DECISIONS))
    return said


def _kind(kind: Kind, attracting_class: str | None) -> Reason:
    if kind is Kind.OWN_SHORTCUT:
        return _reason(Code.TAKES_BACKGROUND_FOR_CLASS)
    if attracting_class:
        return _reason(Code.LOSS_GOES_TO_CLASS, attracting_class=attracting_class)
    return _reason(Code.LOSS_GOES_TO_MANY)


def _images_that_would_do(effects: ClassEffects, thresholds: VerdictSection) -> list[Reason]:
    """How many images would narrow the interval to less than its distance from the floor."""
    gap, judged = effects.background_gap, effects.answers.judged
    half = (gap.high - gap.low) / 2
    away = abs(gap.value - thresholds.effect)
    if not half > 0 or away == 0:
        return []
    # The width of the interval falls with the root of the number of images.
    needed = math.ceil(judged * (half / away) ** 2)
    if not judged < needed <= ENOUGH_IMAGES:
        return []
    return [_reason(Code.IMAGES_WOULD_SETTLE, images=needed)]


def _other_indicators(decision: Decision) -> list[Reason]:
    effects, said = decision.effects, []
    for code, size in (
        (Code.ATTRACTS_OBJECTS, effects.attraction),
        (Code.BACKGROUND_ALONE_SUFFICES, effects.background_only),
    ):
        if size.value >= EXCESS_FLOOR and size.low > 0:
            said.append(_reason(code, **_interval("excess", size)))
    if decision.verdict is Verdict.CLEAR and leans_by_mass(effects):
        said.append(_reason(Code.MAPS_OFF_OBJECT_HARMLESS))
    if decision.verdict is Verdict.SUSPECT and effects.lift_z >= 0:
        said.append(_reason(Code.MAPS_LOOK_NORMAL))
    elif decision.verdict is Verdict.SUSPECT and leans_by_mass(effects):
        said.append(_reason(Code.MAPS_AGREE))
    return said


def _outline(effects: ClassEffects) -> list[Reason]:
    """Whether the picture would be another one with foregrounds drawn narrower or wider."""
    narrower, given, wider = (
        effects.mass_lift_eroded,
        effects.mass_lift.value,
        effects.mass_lift_dilated,
    )
    lifts = (narrower, given, wider)
    if any(math.isnan(lift) for lift in lifts) or len({lift >= 0 for lift in lifts}) == 1:
        return []
    return [_reason(Code.OUTLINE_DECIDES_MAPS, narrower=narrower, given=given, wider=wider)]


def _too_little(decision: Decision, criteria: Criteria) -> list[Reason]:
    effects, needed = decision.effects, criteria.thresholds.minimum_images
    judged = effects.answers.judged
    if not criteria.has_foregrounds:
        return [_reason(Code.NO_FOREGROUNDS)]
    if effects.answers.images == 0:
        return [_reason(Code.NO_IMAGES)]
    said = []
    if judged < needed:
        missing = needed - judged
        said.append(_reason(Code.TOO_FEW_IMAGES, judged=judged, needed=needed, missing=missing))
    if decision.coverage < criteria.min_coverage:
        said.append(
            _reason(Code.COVERAGE_TOO_LOW, coverage=decision.coverage, needed=criteria.min_coverage)
        )
    return said or [_reason(Code.RUN_INCOMPLETE, **_interval("gap", effects.background_gap))]


def _seldom_recognised(effects: ClassEffects) -> list[Reason]:
    if effects.answers.answered and effects.answers.recall < 0.5:
        return [_reason(Code.SELDOM_RECOGNISED, recall=effects.answers.recall)]
    return []


def advice(decision: Decision, attracting_class: str | None) -> tuple[Reason, ...]:
    """What to do next about this class."""
    if decision.verdict is Verdict.SUSPECT and decision.kind is Kind.OWN_SHORTCUT:
        return (_reason(Code.VARY_TRAINING_BACKGROUNDS), _reason(Code.DO_NOT_RELY_ON_ACCURACY))
    if decision.verdict is Verdict.SUSPECT:
        return (
            _reason(Code.LOOK_AT_ATTRACTING_CLASS, attracting_class=attracting_class),
            _reason(Code.COLLECT_UNUSUAL_BACKGROUNDS),
        )
    if decision.verdict is Verdict.WATCH:
        return (_reason(Code.AUDIT_WITH_MORE_IMAGES),)
    if decision.verdict is Verdict.INCONCLUSIVE:
        return (_reason(Code.ADD_IMAGES_WITH_FOREGROUNDS),)
    return ()

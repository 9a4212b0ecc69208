"""Why a class has its verdict and what to do next, by rule; the sentences are the report's."""

from __future__ import annotations

import math
from collections.abc import Sequence

from audit.findings import Code, Kind, Reason, Verdict
from audit.manifest import VerdictSection
from audit.verdicts.clearing import reason, why_clear, why_open, with_ends
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


def reasons(
    decision: Decision,
    attracting_class: str | None,
    criteria: Criteria,
    class_names: Sequence[str] = (),
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
    class_names : sequence of K str
        All outputs of the model.
    """
    effects, thresholds = decision.effects, criteria.thresholds
    if decision.verdict is Verdict.INCONCLUSIVE:
        too_little = (*_too_little(decision, criteria), *_seldom_recognised(effects))
        return (*too_little, *_looked_twice(effects))
    gathered = _swap(decision, attracting_class, thresholds, class_names)
    if decision.verdict is Verdict.SUSPECT:
        gathered.append(_kind(decision.kind, attracting_class))
    if decision.verdict is Verdict.WATCH:
        gathered += why_open(effects, thresholds, class_names)
    if decision.verdict is Verdict.SUSPECT:
        gathered.append(agreement(effects, thresholds))
    gathered += _other_indicators(decision)
    if decision.verdict is not Verdict.WATCH:
        # Of a watched class it is said why that keeps it from being clear.
        gathered += _seldom_recognised(effects)
    return (*gathered, *_outline(effects), *_looked_twice(effects))


def _swap(
    decision: Decision,
    attracting_class: str | None,
    thresholds: VerdictSection,
    class_names: Sequence[str],
) -> list[Reason]:
    """What the swap experiment showed."""
    effects, floor = decision.effects, thresholds.effect
    gap = with_ends("gap", effects.background_gap)
    if decision.verdict is Verdict.SUSPECT and not loses_anywhere(effects, thresholds):
        loss = effects.follow_up
        return [
            reason(
                Code.LOSS_TO_ONE_CLASS,
                attracting_class=attracting_class,
                probability_loss=loss.probability_loss,
                decisions_changed=loss.decisions_changed,
                **with_ends("harm", loss.harm),
                floor=max(VICTIM_FLOOR, floor),
                q=loss.q_value,
                **gap,
            )
        ]
    if decision.verdict is Verdict.SUSPECT:
        return [reason(Code.LOSS_EVERYWHERE, **gap, floor=floor, q=effects.q_value)]
    if decision.verdict is Verdict.CLEAR:
        return why_clear(effects, thresholds, class_names)
    reasons_of_swap = [reason(Code.LOSS_MEASURED, **gap, floor=floor)]
    if effects.q_value <= thresholds.fdr and effects.background_gap.value >= floor:
        changed = max(0.0, effects.decision_gap)
        reasons_of_swap.append(
            reason(Code.FEW_DECISIONS_CHANGE, decisions=changed, needed=DECISIONS)
        )
    return reasons_of_swap


def _kind(kind: Kind, attracting_class: str | None) -> Reason:
    if kind is Kind.OWN_SHORTCUT:
        return reason(Code.TAKES_BACKGROUND_FOR_CLASS)
    if attracting_class:
        return reason(Code.LOSS_GOES_TO_CLASS, attracting_class=attracting_class)
    return reason(Code.LOSS_GOES_TO_MANY)


def _other_indicators(decision: Decision) -> list[Reason]:
    effects, found_reasons = decision.effects, []
    for code, size in (
        (Code.ATTRACTS_OBJECTS, effects.attraction),
        (Code.BACKGROUND_ALONE_SUFFICES, effects.background_only),
    ):
        if size.value >= EXCESS_FLOOR and size.low > 0:
            found_reasons.append(reason(code, **with_ends("excess", size)))
    if decision.verdict is Verdict.CLEAR and leans_by_mass(effects):
        found_reasons.append(reason(Code.MAPS_OFF_OBJECT_HARMLESS))
    if decision.verdict is Verdict.SUSPECT and effects.lift_z >= 0:
        found_reasons.append(reason(Code.MAPS_LOOK_NORMAL))
    elif decision.verdict is Verdict.SUSPECT and leans_by_mass(effects):
        found_reasons.append(reason(Code.MAPS_AGREE))
    return found_reasons


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
    return [reason(Code.OUTLINE_DECIDES_MAPS, narrower=narrower, given=given, wider=wider)]


def _too_little(decision: Decision, criteria: Criteria) -> list[Reason]:
    effects, needed = decision.effects, criteria.thresholds.minimum_images
    judged = effects.answers.judged
    if not criteria.has_foregrounds:
        return [reason(Code.NO_FOREGROUNDS)]
    if effects.answers.images == 0:
        return [reason(Code.NO_IMAGES)]
    reasons_given = []
    if judged < needed:
        missing = needed - judged
        reasons_given.append(
            reason(Code.TOO_FEW_IMAGES, judged=judged, needed=needed, missing=missing)
        )
    if decision.coverage < criteria.min_coverage:
        reasons_given.append(
            reason(Code.COVERAGE_TOO_LOW, coverage=decision.coverage, needed=criteria.min_coverage)
        )
    return reasons_given or [
        reason(Code.RUN_INCOMPLETE, **with_ends("gap", effects.background_gap))
    ]


def _looked_twice(effects: ClassEffects) -> list[Reason]:
    first = effects.judged_at_first
    if first is None:
        return []
    return [reason(Code.LOOKED_TWICE, images=effects.answers.judged, first=first)]


def _seldom_recognised(effects: ClassEffects) -> list[Reason]:
    if effects.answers.answered and effects.answers.recall < 0.5:
        return [reason(Code.SELDOM_RECOGNISED, recall=effects.answers.recall)]
    return []


def advice(decision: Decision, attracting_class: str | None) -> tuple[Reason, ...]:
    """What to do next about this class."""
    if decision.verdict is Verdict.SUSPECT and decision.kind is Kind.OWN_SHORTCUT:
        return (reason(Code.VARY_TRAINING_BACKGROUNDS), reason(Code.DO_NOT_RELY_ON_ACCURACY))
    if decision.verdict is Verdict.SUSPECT:
        return (
            reason(Code.LOOK_AT_ATTRACTING_CLASS, attracting_class=attracting_class),
            reason(Code.COLLECT_UNUSUAL_BACKGROUNDS),
        )
    if decision.verdict is Verdict.WATCH:
        return (reason(Code.AUDIT_WITH_MORE_IMAGES),)
    if decision.verdict is Verdict.INCONCLUSIVE:
        return (reason(Code.ADD_IMAGES_WITH_FOREGROUNDS),)
    return ()

"""The indicators of a class: each way of asking by itself, beside the one that decides."""

from __future__ import annotations

from audit.findings import Code, Estimate, Indicator, IndicatorName, Reason, Says, Unit
from audit.manifest import VerdictSection
from audit.verdicts.decide import EXCESS_FLOOR, VICTIM_FLOOR, leans_by_mass
from audit.verdicts.effects import ClassEffects
from audit.verdicts.statistics import EffectSize

CMV_FLOOR = 0.1
"""Of a share that says background; chosen on the benchmark's tuning worlds."""


def indicators(effects: ClassEffects, thresholds: VerdictSection) -> tuple[Indicator, ...]:
    """What each indicator says by itself; those that were not measured are left out."""
    loss, attraction, alone = effects.follow_up, effects.attraction, effects.background_only
    asked = (
        (IndicatorName.BACKGROUND_SWAP, effects.background_gap, effects.p_value, thresholds.effect),
        (IndicatorName.FOLLOW_UP, loss.harm, loss.p_value, VICTIM_FLOOR),
        (IndicatorName.ATTRACTION, attraction, attraction.p_value, EXCESS_FLOOR),
        (IndicatorName.BACKGROUND_ONLY, alone, alone.p_value, EXCESS_FLOOR),
    )
    found = [
        _indicator(name, _by_floor(size, floor), size, p_value)
        for name, size, p_value, floor in asked
        if size.value == size.value
    ]
    lift = effects.mass_lift
    if lift.value == lift.value:
        says = Says.BACKGROUND if leans_by_mass(effects) else Says.UNCLEAR
        found.append(_indicator(IndicatorName.SALIENCY, says, lift))
    return tuple(found)


def cmv_indicator(share: EffectSize) -> Indicator | None:
    """What the class model visualization says; None where nothing was measured.

    Parameters
    ----------
    share : EffectSize
        From :func:`audit.verdicts.cmv_share.background_shares`.
    """
    if share.value != share.value:
        return None
    says = Says.UNCLEAR
    if share.low > CMV_FLOOR:
        says = Says.BACKGROUND
    elif share.high < CMV_FLOOR:
        says = Says.OBJECT
    return _indicator(IndicatorName.CMV, says, share)


def agreement(effects: ClassEffects, thresholds: VerdictSection) -> Reason:
    """How many indicators say the same."""
    answers = [indicator.says for indicator in indicators(effects, thresholds)]
    return Reason(
        code=Code.INDICATORS_AGREE,
        values={
            "background": answers.count(Says.BACKGROUND),
            "asked": len(answers),
            "unclear": answers.count(Says.UNCLEAR),
        },
    )


_UNITS = {
    IndicatorName.BACKGROUND_SWAP: Unit.PROBABILITY,
    IndicatorName.FOLLOW_UP: Unit.RATE,
    IndicatorName.ATTRACTION: Unit.RATE,
    IndicatorName.BACKGROUND_ONLY: Unit.RATE,
    IndicatorName.SALIENCY: Unit.LOG_ODDS,
    IndicatorName.CMV: Unit.SHARE,
}


def _by_floor(size: EffectSize, floor: float) -> Says:
    if size.value >= floor and size.low > 0:
        return Says.BACKGROUND
    return Says.OBJECT if size.high < floor else Says.UNCLEAR


def _indicator(
    name: IndicatorName, says: Says, size: EffectSize, p_value: float | None = None
) -> Indicator:
    estimate = Estimate(value=size.value, low=size.low, high=size.high)
    return Indicator(name=name, says=says, estimate=estimate, p_value=p_value, unit=_UNITS[name])

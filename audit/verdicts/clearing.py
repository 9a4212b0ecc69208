"""What the swaps exclude for a class that is clear, and what keeps another from being clear."""

from __future__ import annotations

import math
from collections.abc import Sequence

from audit.findings import Code, Reason
from audit.manifest import VerdictSection
from audit.verdicts.decide import (
    RECOGNISED,
    VICTIM_FLOOR,
    excludes_loss_anywhere,
    excludes_loss_to_one,
    has_enough_to_lose,
)
from audit.verdicts.effects import ClassEffects
from audit.verdicts.rates import rate_for, trials_for
from audit.verdicts.statistics import EffectSize

ENOUGH_IMAGES = 100_000
"""Beyond this a number of images is no advice."""


def reason(code: Code, **values: float | str | None) -> Reason:
    """A code with its values."""
    return Reason(code=code, values=values)


def with_ends(name: str, size: EffectSize) -> dict[str, float]:
    """A number and the ends of its interval, by the names of the record."""
    return {name: size.value, f"{name}_low": size.low, f"{name}_high": size.high}


def why_clear(
    effects: ClassEffects, thresholds: VerdictSection, class_names: Sequence[str]
) -> list[Reason]:
    """What is excluded for a clear class: a loss to all others together, and to any one."""
    return [
        reason(
            Code.EFFECT_EXCLUDED,
            **with_ends("gap", effects.background_gap),
            floor=thresholds.effect,
        ),
        _to_one(
            Code.LOSS_TO_ONE_EXCLUDED,
            effects,
            thresholds,
            class_names,
            donor_classes=effects.follow_up.donor_classes,
        ),
    ]


def why_open(
    effects: ClassEffects, thresholds: VerdictSection, class_names: Sequence[str]
) -> list[Reason]:
    """What keeps a class from being clear."""
    reasons = []
    if not excludes_loss_anywhere(effects, thresholds):
        reasons.append(reason(Code.NEITHER_SHOWN_NOR_EXCLUDED, images=effects.answers.judged))
        reasons += _images_that_would_do(effects, thresholds)
    if effects.follow_up.share_label is None:
        reasons.append(reason(Code.NOT_FOLLOWED_UP))
    elif not excludes_loss_to_one(effects, thresholds):
        reasons.append(_to_one(Code.LOSS_TO_ONE_OPEN, effects, thresholds, class_names))
    if not has_enough_to_lose(effects):
        reasons.append(_too_little_to_lose(effects))
    return reasons


def _to_one(
    code: Code,
    effects: ClassEffects,
    thresholds: VerdictSection,
    class_names: Sequence[str],
    **more: float,
) -> Reason:
    """What the follow-up says of the class to which most could be lost."""
    loss = effects.follow_up
    return reason(
        code,
        donor_class=None if loss.share_label is None else class_names[loss.share_label],
        **with_ends("share", loss.share),
        floor=max(VICTIM_FLOOR, thresholds.effect),
        **more,
    )


def _too_little_to_lose(effects: ClassEffects) -> Reason:
    """Beside the recall: how many images would do at it, or which recall at these images."""
    answers = effects.answers
    return reason(
        Code.TOO_LITTLE_TO_LOSE,
        recall=answers.recall,
        recall_low=answers.recall_low,
        recall_high=answers.recall_high,
        needed=RECOGNISED,
        images_needed=trials_for(answers.recall, RECOGNISED),
        recall_needed=rate_for(answers.answered, RECOGNISED),
    )


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
    return [reason(Code.IMAGES_WOULD_SETTLE, images=needed)]

"""What the swaps exclude for a class that is clear, and what keeps another from being clear."""

from __future__ import annotations

from collections.abc import Mapping

from audit.findings import Code
from audit.report.formatting import points, share, with_interval
from audit.report.i18n import N_, gettext, ngettext, whole
from audit.report.sentences.values import (
    Sentence,
    Values,
    count_of,
    effect_of,
    fixed,
    name_of,
    number_of,
)


def _effect_excluded(values: Values) -> str:
    return gettext(
        "Exchanging the background costs the right class %(loss)s; a loss of %(floor)s percentage "
        "points or more over the backgrounds of all other classes together is excluded.",
        loss=with_interval(effect_of(values, "gap")),
        floor=points(number_of(values, "floor")),
    )


def _loss_to_one_excluded(values: Values) -> str:
    return ngettext(
        "The %(num)s other class that was likeliest to harm it was followed up: on backgrounds of "
        "%(name)s it loses %(lost)s of what it has to lose (95 %% interval up to %(high)s). A loss "
        "of %(floor)s or more to it is excluded.",
        "The %(num)s other classes that were likeliest to harm it were followed up: on backgrounds "
        "of %(name)s, the worst of them, it loses %(lost)s of what it has to lose (95 %% interval "
        "up to %(high)s). A loss of %(floor)s or more to any of them is excluded.",
        count_of(values, "donor_classes"),
        **_lost(values),
    )


def _loss_to_one_open(values: Values) -> str:
    return gettext(
        "On backgrounds of %(name)s it loses %(lost)s of what it has to lose (95 %% interval "
        "%(low)s to %(high)s): a loss of %(floor)s to that one class can neither be shown nor "
        "excluded.",
        **_lost(values),
    )


def _lost(values: Values) -> dict[str, str]:
    found = effect_of(values, "share")
    return {
        "name": name_of(values, "donor_class") or gettext("one other class"),
        "lost": share(found.value),
        "low": share(found.low),
        "high": share(found.high),
        "floor": share(number_of(values, "floor")),
    }


def _too_little_to_lose(values: Values) -> str:
    recall = effect_of(values, "recall")
    text = gettext(
        "The model recognises %(recall)s of its images (95 %% interval %(low)s to %(high)s). To be "
        "called clear a class must be recognised in %(needed)s of the cases or more, by the lower "
        "end of the interval: one that is seldom recognised has too little to lose for a loss to "
        "show.",
        recall=share(recall.value),
        low=share(recall.low),
        high=share(recall.high),
        needed=share(number_of(values, "needed")),
    )
    if number_of(values, "images_needed") is not None:
        more = ngettext(
            "At this recall about %(num)s image would do.",
            "At this recall about %(num)s images would do.",
            count_of(values, "images_needed"),
        )
    else:
        more = gettext(
            "With this many images it would take a recall of %(recall)s.",
            recall=share(number_of(values, "recall_needed")),
        )
    return f"{text} {more}"


def _neither_shown_nor_excluded(values: Values) -> str:
    return ngettext(
        "An effect as large as the floor can neither be shown nor excluded with %(num)s image.",
        "An effect as large as the floor can neither be shown nor excluded with %(num)s images.",
        count_of(values, "images"),
    )


def _images_would_settle(values: Values) -> str:
    return ngettext(
        "About %(num)s image would settle it, if the effect is what it seems.",
        "About %(num)s images would settle it, if the effect is what it seems.",
        count_of(values, "images"),
    )


def _looked_twice(values: Values) -> str:
    return gettext(
        "It was looked at twice: %(first)s images left it undecided; with these %(images)s have "
        "now met donors. So that two looks together err no more often than one, each may err only "
        "half as often.",
        first=whole(count_of(values, "first")),
        images=whole(count_of(values, "images")),
    )


CLEARING: Mapping[Code, Sentence] = {
    Code.EFFECT_EXCLUDED: _effect_excluded,
    Code.LOSS_TO_ONE_EXCLUDED: _loss_to_one_excluded,
    Code.LOSS_TO_ONE_OPEN: _loss_to_one_open,
    Code.NOT_FOLLOWED_UP: fixed(
        N_(
            "No other class's background was tried on it by itself, so a loss to one of them is "
            "not excluded."
        )
    ),
    Code.TOO_LITTLE_TO_LOSE: _too_little_to_lose,
    Code.NEITHER_SHOWN_NOR_EXCLUDED: _neither_shown_nor_excluded,
    Code.IMAGES_WOULD_SETTLE: _images_would_settle,
    Code.LOOKED_TWICE: _looked_twice,
}

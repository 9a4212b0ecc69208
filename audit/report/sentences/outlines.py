"""What other outlines say of a suspicion."""

from __future__ import annotations

from collections.abc import Mapping

from audit.findings import Code
from audit.report.formatting import listing, number, points, share, with_interval
from audit.report.i18n import N_, gettext, ngettext, whole
from audit.report.sentences.masks import side_of
from audit.report.sentences.values import (
    Sentence,
    Values,
    count_of,
    effect_of,
    fixed,
    number_of,
)


def _outline_decides_maps(values: Values) -> str:
    return gettext(
        "Where its saliency lies depends on how the foreground is drawn: the mass lift is "
        "%(narrower)s with a narrower, %(given)s with this and %(wider)s with a wider outline. The "
        "maps of this class prove nothing either way.",
        **{key: number(number_of(values, key)) for key in ("narrower", "given", "wider")},
    )


def _by_outline(values: Values) -> str:
    """The effect with each outline that was tried."""
    tried = {
        "given": N_("%(effect)s with the outlines as they are"),
        "widened": N_("%(effect)s with wider ones"),
        "second": N_("%(effect)s with those of the second estimate"),
    }
    return listing(
        [
            gettext(estimate_text, effect=with_interval(effect_of(values, name)))
            for name, estimate_text in tried.items()
            if number_of(values, name) is not None
        ]
    )


def _depends_on_outline(values: Values) -> str:
    return gettext(
        "Whether it loses to backgrounds depends on how the objects are outlined: %(effects)s; the "
        "floor is %(floor)s. An outline that misses part of the object could have made the effect, "
        "so this is no proof.",
        effects=_by_outline(values),
        floor=points(number_of(values, "floor")),
    )


def _outline_may_cut(values: Values) -> str:
    return gettext(
        "Along the %(side)s of the masks the picture changes hardly more than a few pixels away "
        "(%(support)s of the places there change less, half would be chance; %(images)s masks): "
        "they may hold a part of the objects alone. What is lost with the background could be the "
        "rest of the object, so this is no proof. Outlines by a network would tell: "
        "foreground.second_estimator.",
        side=side_of(values),
        support=share(number_of(values, "support")),
        images=whole(count_of(values, "images")),
    )


def _objects_elsewhere(values: Values) -> str:
    return ngettext(
        "In %(num)s of %(all)s class the model answers as well with the outlined thing removed, "
        "and not by that thing alone: the outlines seem to lie beside the objects. What such "
        "outlines show is no proof.",
        "In %(num)s of %(all)s classes the model answers as well with the outlined thing removed, "
        "and not by that thing alone: the outlines seem to lie beside the objects. What such "
        "outlines show is no proof.",
        count_of(values, "classes"),
        all=whole(count_of(values, "of")),
    )


def _outlines_agree(values: Values) -> str:
    return gettext(
        "The suspicion does not hang on the outlines: the loss is %(effects)s.",
        effects=_by_outline(values),
    )


OUTLINES: Mapping[Code, Sentence] = {
    Code.OUTLINE_DECIDES_MAPS: _outline_decides_maps,
    Code.DEPENDS_ON_OUTLINE: _depends_on_outline,
    Code.OUTLINE_MAY_CUT: _outline_may_cut,
    Code.OBJECTS_ELSEWHERE: _objects_elsewhere,
    Code.OUTLINES_AGREE: _outlines_agree,
    Code.OUTLINE_UNTESTED: fixed(
        N_(
            "Whether it would be suspect with other outlines could not be tested: wider ones leave "
            "too little background, or it was not suspect when they were tried."
        )
    ),
}

"""Why a class has its verdict."""

from __future__ import annotations

from collections.abc import Mapping

from audit.findings import Code
from audit.report.formatting import equals_chance, points, share, with_interval
from audit.report.i18n import N_, gettext, ngettext
from audit.report.sentences.clearing import CLEARING
from audit.report.sentences.outlines import OUTLINES
from audit.report.sentences.values import (
    Sentence,
    Values,
    count_of,
    effect_of,
    fixed,
    name_of,
    number_of,
)


def _loss_everywhere(values: Values) -> str:
    return gettext(
        "On another class's background the probability of the right class falls by %(loss)s more "
        "than on another background of its own class; the floor is %(floor)s and the "
        "false-discovery rate %(q)s.",
        loss=with_interval(effect_of(values, "gap")),
        floor=points(number_of(values, "floor")),
        q=equals_chance("q", number_of(values, "q")),
    )


def _loss_to_one_class(values: Values) -> str:
    return gettext(
        "On backgrounds of %(name)s the probability of the right class falls by %(loss)s "
        "percentage points more than on backgrounds of its own class, and %(decisions)s of the "
        "decisions change: a harm, the mean of the two, of %(harm)s; the floor is %(floor)s and "
        "%(q)s. Over all other backgrounds together it loses %(gap)s.",
        name=name_of(values, "attracting_class") or gettext("one other class"),
        loss=points(number_of(values, "probability_loss")),
        decisions=share(number_of(values, "decisions_changed")),
        harm=with_interval(effect_of(values, "harm")),
        floor=points(number_of(values, "floor")),
        q=equals_chance("q", number_of(values, "q")),
        gap=with_interval(effect_of(values, "gap")),
    )


def _loss_measured(values: Values) -> str:
    return gettext(
        "Exchanging the background costs the right class %(loss)s; the floor is %(floor)s.",
        loss=with_interval(effect_of(values, "gap")),
        floor=points(number_of(values, "floor")),
    )


def _few_decisions_change(values: Values) -> str:
    return gettext(
        "Only %(decisions)s of the decisions change with it, and a moderate loss counts from "
        "%(needed)s.",
        decisions=share(number_of(values, "decisions")),
        needed=share(number_of(values, "needed")),
    )


def _loss_goes_to_class(values: Values) -> str:
    return gettext(
        "The loss goes to %(name)s: on foreign backgrounds its votes are taken by that class. "
        "The shortcut may be the other class's, not its own.",
        name=name_of(values, "attracting_class"),
    )


def _indicators_agree(values: Values) -> str:
    text = ngettext(
        "Of %(num)s indicator asked, %(background)s says background",
        "Of %(num)s indicators asked, %(background)s say background",
        count_of(values, "asked"),
        background=count_of(values, "background"),
    )
    unclear = count_of(values, "unclear")
    more = ngettext(", %(num)s is unclear", ", %(num)s are unclear", unclear) if unclear else ""
    return f"{text}{more}."


def _attracts_objects(values: Values) -> str:
    return gettext(
        "Objects of other classes placed on its backgrounds become this class more often than "
        "elsewhere, by %(excess)s.",
        excess=with_interval(effect_of(values, "excess")),
    )


def _background_alone_suffices(values: Values) -> str:
    return gettext(
        "With the object removed, the background alone is still called this class more often "
        "than other backgrounds are, by %(excess)s.",
        excess=with_interval(effect_of(values, "excess")),
    )


def _seldom_recognised(values: Values) -> str:
    return gettext(
        "The model recognises only %(recall)s of its images to begin with, so there is little for "
        "a background to take away.",
        recall=share(number_of(values, "recall")),
    )


def _too_few_images(values: Values) -> str:
    found = ngettext(
        "Too few to judge: %(num)s image with a usable foreground and donors, %(needed)s needed.",
        "Too few to judge: %(num)s images with a usable foreground and donors, %(needed)s needed.",
        count_of(values, "judged"),
        needed=count_of(values, "needed"),
    )
    more = ngettext(
        "%(num)s more image would do.",
        "%(num)s more images would do.",
        count_of(values, "missing"),
    )
    return f"{found} {more}"


def _coverage_too_low(values: Values) -> str:
    return gettext(
        "Only %(coverage)s of its images could be measured; the least is %(needed)s.",
        coverage=share(number_of(values, "coverage")),
        needed=share(number_of(values, "needed")),
    )


def _run_incomplete(values: Values) -> str:
    return gettext(
        "Exchanging the background costs the right class %(loss)s, but the run is incomplete "
        "(another class could not be measured well enough), and an incomplete run calls nothing "
        "clear.",
        loss=with_interval(effect_of(values, "gap")),
    )


REASONS: Mapping[Code, Sentence] = {
    **OUTLINES,
    **CLEARING,
    Code.LOSS_EVERYWHERE: _loss_everywhere,
    Code.LOSS_TO_ONE_CLASS: _loss_to_one_class,
    Code.LOSS_MEASURED: _loss_measured,
    Code.FEW_DECISIONS_CHANGE: _few_decisions_change,
    Code.TAKES_BACKGROUND_FOR_CLASS: fixed(N_("The model leans on this class's usual background.")),
    Code.LOSS_GOES_TO_CLASS: _loss_goes_to_class,
    Code.LOSS_GOES_TO_MANY: fixed(
        N_(
            "The loss goes to the classes whose backgrounds were used; no shortcut of its own "
            "shows."
        )
    ),
    Code.INDICATORS_AGREE: _indicators_agree,
    Code.ATTRACTS_OBJECTS: _attracts_objects,
    Code.BACKGROUND_ALONE_SUFFICES: _background_alone_suffices,
    Code.MAPS_OFF_OBJECT_HARMLESS: fixed(
        N_(
            "Harmless context: less of its saliency lies on the object, for its area, than in "
            "other classes, but exchanging the background does not move the decision."
        )
    ),
    Code.MAPS_LOOK_NORMAL: fixed(
        N_(
            "Hidden shortcut: its saliency maps look no worse than those of other classes; only "
            "the experiment shows the dependence."
        )
    ),
    Code.MAPS_AGREE: fixed(
        N_(
            "Its saliency maps agree: for the object's area, less of the saliency lies on it than "
            "in the other classes of this dataset."
        )
    ),
    Code.SELDOM_RECOGNISED: _seldom_recognised,
    Code.NO_FOREGROUNDS: fixed(
        N_(
            "Without foregrounds no background can be exchanged, so this audit cannot tell whether "
            "the class depends on its background."
        )
    ),
    Code.NO_IMAGES: fixed(N_("The dataset has no image of this class.")),
    Code.TOO_FEW_IMAGES: _too_few_images,
    Code.COVERAGE_TOO_LOW: _coverage_too_low,
    Code.RUN_INCOMPLETE: _run_incomplete,
}

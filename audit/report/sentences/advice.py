"""What to do next about a class."""

from __future__ import annotations

from collections.abc import Mapping

from audit.findings import Code
from audit.report.i18n import N_, gettext
from audit.report.sentences.values import Sentence, Values, fixed, name_of


def _look_at_attracting_class(values: Values) -> str:
    name = name_of(values, "attracting_class")
    if not name:
        return gettext(
            "Look first at the classes that take its votes: train them on more varied backgrounds, "
            "then audit again."
        )
    return gettext(
        "Look at %(name)s first: train it on more varied backgrounds, then audit again.",
        name=name,
    )


ADVICE: Mapping[Code, Sentence] = {
    Code.VARY_TRAINING_BACKGROUNDS: fixed(
        N_(
            "Collect or composite training images of this class on the backgrounds of other "
            "classes, retrain, and audit again."
        )
    ),
    Code.DO_NOT_RELY_ON_ACCURACY: fixed(
        N_("Until then do not rely on its accuracy where the usual background is absent.")
    ),
    Code.LOOK_AT_ATTRACTING_CLASS: _look_at_attracting_class,
    Code.COLLECT_UNUSUAL_BACKGROUNDS: fixed(
        N_("More images of this class on unusual backgrounds help as well.")
    ),
    Code.AUDIT_WITH_MORE_IMAGES: fixed(
        N_("Audit it again with more images; look at its exhibits meanwhile.")
    ),
    Code.LOOK_AT_OUTLINES: fixed(
        N_(
            "Look at the outlines in its exhibits: where they miss part of the object, mend them, "
            "or name a better source, and audit again."
        )
    ),
    Code.ADD_IMAGES_WITH_FOREGROUNDS: fixed(
        N_("Add labelled images with foregrounds; no verdict, good or bad, can be given yet.")
    ),
}

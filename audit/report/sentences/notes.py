"""What no audit of this kind can know, what is known of the foregrounds, cues and pictures."""

from __future__ import annotations

from collections.abc import Mapping

from audit.findings import Code, EstimatorFacts, ForegroundFacts
from audit.report.formatting import listing, share
from audit.report.i18n import N_, gettext, ngettext
from audit.report.sentences.values import Sentence, Values, count_of, fixed, name_of, number_of

LIMITS: Mapping[Code, Sentence] = {
    Code.LIMIT_INSIDE_FOREGROUND: fixed(
        N_(
            "A cue inside the foreground (a collar, a watermark on the object) is invisible to "
            "background swaps, and so is a cue that all classes share."
        )
    ),
    Code.LIMIT_SHARED_BACKGROUND: fixed(
        N_("Classes that share one background can hide each other.")
    ),
    Code.LIMIT_OFTEN_TOGETHER: fixed(
        N_(
            "Objects that often appear together were tested too little to promise that they are "
            "found."
        )
    ),
    Code.LIMIT_FOREGROUND_QUALITY: fixed(
        N_(
            "Foregrounds that miss part of the object accuse the innocent; boxes and generous "
            "masks lose some cases and accuse nobody."
        )
    ),
    Code.LIMIT_OTHER_PHOTOGRAPHS: fixed(
        N_(
            "The verdict holds for this model on these photographs. It says nothing about "
            "photographs of another kind."
        )
    ),
    Code.LIMIT_MAPS_ILLUSTRATE: fixed(
        N_(
            "Saliency maps are pictures of where the score is sensitive. They illustrate; the swap "
            "experiment decides."
        )
    ),
}

_FOREGROUNDS = {
    "none": N_("No foregrounds were given. Nothing can be said about backgrounds."),
    "mask_file": N_("Masks given with the dataset."),
    "bounding_box": N_(
        "Boxes given with the dataset. They hold some background, which stays with the object in "
        "every swap: some dependence can be missed, none is invented."
    ),
}


def estimator_lines(estimator: EstimatorFacts) -> list[str]:
    """Say which network drew the outlines: its name, licence, training and hash."""
    unknown = gettext("not told")
    return [
        gettext(
            "Outlines estimated by the network %(name)s, not drawn by a person.",
            name=estimator.name,
        ),
        gettext(
            "Its licence: %(licence)s; trained on: %(data)s; SHA-256 of its weights: %(sha256)s.",
            licence=estimator.licence or unknown,
            data=estimator.trained_on or unknown,
            sha256=estimator.sha256 or unknown,
        ),
    ]


def mask_caveats(facts: ForegroundFacts) -> list[str]:
    """Say on page one that nobody has drawn the outlines, or that they look wrong."""
    lines = estimated_caveat(facts)
    if facts.doubtful:
        lines.append(
            gettext(
                "The masks look doubtful (see Problems), so a class is called suspect only where "
                "it is so by wider outlines, too."
            )
        )
    return lines


def estimated_caveat(facts: ForegroundFacts) -> list[str]:
    """Say that nobody has drawn the outlines."""
    if facts.estimator is None:
        return []
    return [
        gettext(
            "Where the objects are was estimated by a network (%(name)s) and not told: an outline "
            "that misses part of an object leaves that part in the background. Look at the "
            "outlines on the pages of the classes.",
            name=facts.estimator.name,
        )
    ]


def foreground_note(facts: ForegroundFacts) -> str:
    """Say where the audit knew the objects from, and what that means."""
    if facts.estimator is not None:
        return " ".join(estimator_lines(facts.estimator))
    known = _FOREGROUNDS.get(facts.source)
    return gettext(known) if known else gettext("Given by %(source)s.", source=facts.source)


def _images_without_window(values: Values) -> str:
    counts = {key: count_of(values, key) for key in ("blank_map", "no_evidence", "no_background")}
    parts = []
    if counts["blank_map"]:
        parts.append(
            ngettext(
                "%(num)s has a blank saliency map",
                "%(num)s have a blank saliency map",
                counts["blank_map"],
            )
        )
    if counts["no_evidence"]:
        parts.append(
            ngettext(
                "%(num)s has no saliency on the background",
                "%(num)s have no saliency on the background",
                counts["no_evidence"],
            )
        )
    if counts["no_background"]:
        parts.append(
            ngettext(
                "%(num)s has too little background for a window",
                "%(num)s have too little background for a window",
                counts["no_background"],
            )
        )
    return ngettext(
        "Of %(num)s image looked at, %(parts)s.",
        "Of %(num)s images looked at, %(parts)s.",
        count_of(values, "images"),
        parts=listing(parts),
    )


def _last_layer(values: Values) -> str:
    return gettext("the input of the model's last layer, %(layer)s", layer=name_of(values, "layer"))


def _pooled_layer(values: Values) -> str:
    return gettext(
        "the pooled output of the layer %(layer)s, since no last layer was found",
        layer=name_of(values, "layer"),
    )


CUES: Mapping[Code, Sentence] = {
    Code.FEATURES_LAST_LAYER_INPUT: _last_layer,
    Code.FEATURES_POOLED_LAYER: _pooled_layer,
    Code.FEATURES_CLASS_SCORES: fixed(N_("the class scores, since no layer before them was found")),
    Code.NO_CUE_IMAGES: fixed(
        N_("No cue was found: no image of the class has both an object and a background.")
    ),
    Code.NO_CUE_FOUND: fixed(N_("No cue was found.")),
    Code.IMAGES_WITHOUT_WINDOW: _images_without_window,
}


def _not_first(values: Values) -> str:
    return gettext(
        "Failed: among the classes that the model sees in it, this one is number %(rank)s.",
        rank=count_of(values, "rank"),
    )


def _not_robust(values: Values) -> str:
    return gettext(
        "Failed: after small shifts and zooms the model gives this picture only %(share)s for the "
        "class.",
        share=share(number_of(values, "probability")),
    )


def _lost_in_jpeg(values: Values) -> str:
    return gettext(
        "Failed: after JPEG the class is only number %(rank)s.", rank=count_of(values, "rank")
    )


def _lost_in_shift(values: Values) -> str:
    return gettext(
        "Failed: after a small shift the class is only number %(rank)s.",
        rank=count_of(values, "rank"),
    )


CMV: Mapping[Code, Sentence] = {
    Code.CMV_NOT_FIRST: _not_first,
    Code.CMV_NOT_ROBUST: _not_robust,
    Code.CMV_LOST_IN_JPEG: _lost_in_jpeg,
    Code.CMV_LOST_IN_SHIFT: _lost_in_shift,
}

"""What the masks of a dataset look like."""

from __future__ import annotations

from collections.abc import Mapping

from audit.findings import Code
from audit.report.formatting import share
from audit.report.i18n import N_, gettext, whole
from audit.report.sentences.values import Sentence, Values, count_of, name_of, number_of


def _areas(values: Values) -> str:
    return gettext(
        "The masks looked at cover %(middle)s of the picture in the median, %(low)s to %(high)s in "
        "nine of ten.",
        middle=share(number_of(values, "area")),
        low=share(number_of(values, "area_low")),
        high=share(number_of(values, "area_high")),
    )


def _so_many(message: str) -> Sentence:
    def sentence(values: Values) -> str:
        images, total = count_of(values, "images"), count_of(values, "of")
        return gettext(message, images=images, total=total, part=share(images / max(1, total)))

    return sentence


def _compared(values: Values) -> str:
    text = (
        N_(
            "With the masks drawn by hand the outlines of %(images)s images agree by %(overlap)s "
            "(intersection over union); least in %(name)s, by %(least)s."
        )
        if values["by"] == "reference"
        else N_(
            "With the second estimate the outlines of %(images)s images agree by %(overlap)s "
            "(intersection over union); least in %(name)s, by %(least)s. That two estimates agree "
            "does not prove them right."
        )
    )
    return gettext(
        text,
        images=whole(count_of(values, "images")),
        overlap=share(number_of(values, "overlap")),
        name=name_of(values, "class"),
        least=share(number_of(values, "least")),
    )


_SIDES = {
    "up": N_("upper side"),
    "down": N_("lower side"),
    "left": N_("left side"),
    "right": N_("right side"),
}


def side_of(values: Values) -> str:
    """The side of the masks that is meant, in words."""
    return gettext(_SIDES[str(values["side"])])


def _cut_objects(values: Values) -> str:
    return gettext(
        "Along the %(side)s of the masks the picture changes hardly more than a few pixels away "
        "(%(support)s of the places there change less, half would be chance; %(images)s masks): do "
        "they hold the whole objects?",
        side=side_of(values),
        support=share(number_of(values, "support")),
        images=whole(count_of(values, "images")),
    )


MASKS: Mapping[Code, Sentence] = {
    Code.MASK_AREAS: _areas,
    Code.OUTLINES_COMPARED: _compared,
    Code.OUTLINES_CUT_OBJECTS: _cut_objects,
    Code.MASKS_EMPTY: _so_many(
        N_("%(images)s of %(total)s images looked at have no mask, or an empty one (%(part)s).")
    ),
    Code.MASKS_FULL: _so_many(
        N_("%(images)s of %(total)s masks fill the whole picture: no background is left.")
    ),
    Code.MASKS_TINY: _so_many(
        N_("%(images)s of %(total)s masks cover less than half a percent of the picture.")
    ),
    Code.MASKS_INVERTED: _so_many(
        N_(
            "%(images)s of %(total)s masks hold the border of the picture and leave out something "
            "inside: do they mark the background? foreground.inverted turns them over."
        )
    ),
    Code.MASKS_AT_BORDER: _so_many(
        N_(
            "%(images)s of %(total)s masks lie along a quarter of the border or more: the objects "
            "are cut off, or the masks too large."
        )
    ),
    Code.MASKS_ALIKE: _so_many(
        N_("%(images)s of %(total)s images have the very same mask: do the files belong to them?")
    ),
    Code.MASKS_ARE_BOXES: _so_many(
        N_(
            "%(images)s of %(total)s masks are rectangles: boxes, which hold background in their "
            "corners."
        )
    ),
    Code.MASKS_OF_MANY_VALUES: _so_many(
        N_(
            "%(images)s of %(total)s masks hold more than two values; all but black counts as the "
            "object. foreground.values names those that do."
        )
    ),
    Code.MASKS_CUT_AT_HALF: _so_many(
        N_("%(images)s of %(total)s masks have soft edges and were cut at half of the brightest.")
    ),
    Code.MASKS_MAYBE_TURNED: _so_many(
        N_(
            "For %(images)s of %(total)s images nothing tells whether the mask was drawn on the "
            "upright picture; foreground.drawn_on says it."
        )
    ),
}

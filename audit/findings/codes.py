"""Every code that a :class:`~audit.findings.Reason` may have, with the values of its sentence.

Numbers are raw: shares, probabilities and effects in 0..1 or -1..1, never percent; ``x, x_low,
x_high`` is a number with its 95 % interval; None is "undefined". Names are as the dataset has them.
The sentences stand in :mod:`audit.report.sentences`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Code(StrEnum):
    """Why something is as it is, for machines."""

    # Why a class has its verdict.
    LOSS_EVERYWHERE = "loss_everywhere"
    LOSS_TO_ONE_CLASS = "loss_to_one_class"
    EFFECT_EXCLUDED = "effect_excluded"
    LOSS_MEASURED = "loss_measured"
    FEW_DECISIONS_CHANGE = "few_decisions_change"
    TAKES_BACKGROUND_FOR_CLASS = "takes_background_for_class"
    LOSS_GOES_TO_CLASS = "loss_goes_to_class"
    LOSS_GOES_TO_MANY = "loss_goes_to_many"
    LOSS_TO_ONE_EXCLUDED = "loss_to_one_excluded"
    LOSS_TO_ONE_OPEN = "loss_to_one_open"
    NOT_FOLLOWED_UP = "not_followed_up"
    TOO_LITTLE_TO_LOSE = "too_little_to_lose"
    NEITHER_SHOWN_NOR_EXCLUDED = "neither_shown_nor_excluded"
    IMAGES_WOULD_SETTLE = "images_would_settle"
    LOOKED_TWICE = "looked_twice"
    INDICATORS_AGREE = "indicators_agree"
    ATTRACTS_OBJECTS = "attracts_objects"
    BACKGROUND_ALONE_SUFFICES = "background_alone_suffices"
    MAPS_OFF_OBJECT_HARMLESS = "maps_off_object_harmless"
    MAPS_LOOK_NORMAL = "maps_look_normal"
    MAPS_AGREE = "maps_agree"
    SELDOM_RECOGNISED = "seldom_recognised"
    OUTLINE_DECIDES_MAPS = "outline_decides_maps"
    DEPENDS_ON_OUTLINE = "depends_on_outline"
    OBJECTS_ELSEWHERE = "objects_elsewhere"
    OUTLINES_AGREE = "outlines_agree"
    OUTLINE_UNTESTED = "outline_untested"
    OUTLINE_MAY_CUT = "outline_may_cut"
    NO_FOREGROUNDS = "no_foregrounds"
    NO_IMAGES = "no_images"
    TOO_FEW_IMAGES = "too_few_images"
    COVERAGE_TOO_LOW = "coverage_too_low"
    RUN_INCOMPLETE = "run_incomplete"
    # What to do next.
    VARY_TRAINING_BACKGROUNDS = "vary_training_backgrounds"
    DO_NOT_RELY_ON_ACCURACY = "do_not_rely_on_accuracy"
    LOOK_AT_ATTRACTING_CLASS = "look_at_attracting_class"
    COLLECT_UNUSUAL_BACKGROUNDS = "collect_unusual_backgrounds"
    AUDIT_WITH_MORE_IMAGES = "audit_with_more_images"
    ADD_IMAGES_WITH_FOREGROUNDS = "add_images_with_foregrounds"
    LOOK_AT_OUTLINES = "look_at_outlines"
    # What a control found.
    NOT_MEASURED = "not_measured"
    CLASSES_FLAGGED = "classes_flagged"
    TAGS_FOUND = "tags_found"
    UNTRAINED_COMPARED = "untrained_compared"
    # What no audit of this kind can know.
    LIMIT_INSIDE_FOREGROUND = "limit_inside_foreground"
    LIMIT_SHARED_BACKGROUND = "limit_shared_background"
    LIMIT_OFTEN_TOGETHER = "limit_often_together"
    LIMIT_FOREGROUND_QUALITY = "limit_foreground_quality"
    LIMIT_OTHER_PHOTOGRAPHS = "limit_other_photographs"
    LIMIT_MAPS_ILLUSTRATE = "limit_maps_illustrate"
    # What the masks look like.
    MASK_AREAS = "mask_areas"
    MASKS_EMPTY = "masks_empty"
    MASKS_FULL = "masks_full"
    MASKS_TINY = "masks_tiny"
    MASKS_INVERTED = "masks_inverted"
    MASKS_AT_BORDER = "masks_at_border"
    MASKS_ALIKE = "masks_alike"
    MASKS_ARE_BOXES = "masks_are_boxes"
    MASKS_OF_MANY_VALUES = "masks_of_many_values"
    MASKS_CUT_AT_HALF = "masks_cut_at_half"
    MASKS_MAYBE_TURNED = "masks_maybe_turned"
    OUTLINES_COMPARED = "outlines_compared"
    OUTLINES_CUT_OBJECTS = "outlines_cut_objects"
    # Whence the features of cues come, and where none was found.
    FEATURES_LAST_LAYER_INPUT = "features_last_layer_input"
    FEATURES_POOLED_LAYER = "features_pooled_layer"
    FEATURES_CLASS_SCORES = "features_class_scores"
    NO_CUE_IMAGES = "no_cue_images"
    NO_CUE_FOUND = "no_cue_found"
    IMAGES_WITHOUT_WINDOW = "images_without_window"
    # Whether two runs can be laid beside each other.
    MODEL_DIFFERS = "model_differs"
    SETTING_DIFFERS = "setting_differs"
    MASKS_DIFFER = "masks_differ"
    NO_COMMON_IMAGE = "no_common_image"
    NO_COMMON_CLASS = "no_common_class"
    RUNS_WITHOUT_FOREGROUNDS = "runs_without_foregrounds"
    # Why a gate was not passed.
    GATE_SUSPECT = "gate_suspect"
    GATE_NEW = "gate_new"
    GATE_WORSENED = "gate_worsened"
    GATE_NOT_MEASURED = "gate_not_measured"
    GATE_INCOMPLETE = "gate_incomplete"
    GATE_NOTHING_JUDGED = "gate_nothing_judged"
    # Why a class model visualization has failed.
    CMV_NOT_FIRST = "cmv_not_first"
    CMV_NOT_ROBUST = "cmv_not_robust"
    CMV_LOST_IN_JPEG = "cmv_lost_in_jpeg"
    CMV_LOST_IN_SHIFT = "cmv_lost_in_shift"


_LOSS = ("gap", "gap_low", "gap_high")
_OUTLINES = tuple(
    name + end for name in ("given", "widened", "second") for end in ("", "_low", "_high")
)
_SHARE = ("donor_class", "share", "share_low", "share_high")
_EXCESS = ("excess", "excess_low", "excess_high")

VALUES: Final[dict[Code, tuple[str, ...]]] = {
    Code.LOSS_EVERYWHERE: (*_LOSS, "floor", "q"),
    Code.LOSS_TO_ONE_CLASS: (
        "attracting_class",
        "probability_loss",
        "decisions_changed",
        "harm",
        "harm_low",
        "harm_high",
        "floor",
        "q",
        *_LOSS,
    ),
    Code.EFFECT_EXCLUDED: (*_LOSS, "floor"),
    Code.LOSS_MEASURED: (*_LOSS, "floor"),
    Code.FEW_DECISIONS_CHANGE: ("decisions", "needed"),
    Code.LOSS_GOES_TO_CLASS: ("attracting_class",),
    Code.LOSS_TO_ONE_EXCLUDED: (*_SHARE, "floor", "donor_classes"),
    Code.LOSS_TO_ONE_OPEN: (*_SHARE, "floor"),
    Code.TOO_LITTLE_TO_LOSE: (
        "recall",
        "recall_low",
        "recall_high",
        "needed",
        "images_needed",
        "recall_needed",
    ),
    Code.NEITHER_SHOWN_NOR_EXCLUDED: ("images",),
    Code.IMAGES_WOULD_SETTLE: ("images",),
    Code.LOOKED_TWICE: ("images", "first"),
    Code.INDICATORS_AGREE: ("background", "asked", "unclear"),
    Code.ATTRACTS_OBJECTS: _EXCESS,
    Code.BACKGROUND_ALONE_SUFFICES: _EXCESS,
    Code.SELDOM_RECOGNISED: ("recall",),
    Code.OUTLINE_DECIDES_MAPS: ("narrower", "given", "wider"),
    Code.DEPENDS_ON_OUTLINE: (*_OUTLINES, "floor"),
    Code.OBJECTS_ELSEWHERE: ("classes", "of"),
    Code.OUTLINES_AGREE: _OUTLINES,
    Code.TOO_FEW_IMAGES: ("judged", "needed", "missing"),
    Code.COVERAGE_TOO_LOW: ("coverage", "needed"),
    Code.RUN_INCOMPLETE: _LOSS,
    Code.LOOK_AT_ATTRACTING_CLASS: ("attracting_class",),
    Code.OUTLINES_CUT_OBJECTS: ("side", "support", "images"),
    Code.OUTLINE_MAY_CUT: ("side", "support", "images"),
    Code.OUTLINES_COMPARED: ("by", "overlap", "images", "class", "least"),
    Code.MASK_AREAS: ("area", "area_low", "area_high", "images"),
    **{code: ("images", "of") for code in Code if code.name.startswith("MASKS_")},
    Code.CLASSES_FLAGGED: ("flagged", "of"),
    Code.UNTRAINED_COMPARED: ("lift", "untrained_lift", "images", "p"),
    Code.FEATURES_LAST_LAYER_INPUT: ("layer",),
    Code.FEATURES_POOLED_LAYER: ("layer",),
    Code.IMAGES_WITHOUT_WINDOW: ("images", "blank_map", "no_evidence", "no_background"),
    Code.MASKS_DIFFER: ("images",),
    Code.SETTING_DIFFERS: ("setting", "earlier", "later"),
    Code.GATE_SUSPECT: ("label_name",),
    Code.GATE_NEW: ("label_name",),
    Code.GATE_WORSENED: ("label_name",),
    Code.GATE_NOT_MEASURED: ("label_name",),
    Code.CMV_NOT_FIRST: ("rank",),
    Code.CMV_NOT_ROBUST: ("probability",),
    Code.CMV_LOST_IN_JPEG: ("rank",),
    Code.CMV_LOST_IN_SHIFT: ("rank",),
}
"""Names of the values; a code that is not listed has none. :attr:`Code.TAGS_FOUND` counts on:
``gain_1, found_1, tested_1, gain_2, ...``, with ``small_1`` where tags were too small to count."""

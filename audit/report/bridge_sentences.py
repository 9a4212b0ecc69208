"""The sentence of each reason, in English, as plain text."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from audit.findings import Code, Control, ControlName, Reason

Values = Mapping[str, int | float | str | None]


def english(reason: Reason) -> str:
    """Say a reason.

    Examples
    --------
    >>> english(Reason(code=Code.SELDOM_RECOGNISED, values={"recall": 0.25}))[:55]
    'The model recognises only 25 % of its images to begin w'
    """
    said = SENTENCES[reason.code]
    return said if isinstance(said, str) else said(reason.values)


def failed(control: Control) -> str:
    """Say that a run did not pass one of its checks of itself."""
    return f"{CONTROLS[control.name]} failed: {english(control.found)}."


CONTROLS = {
    ControlName.NEGATIVE: "Negative control",
    ControlName.POSITIVE: "Positive control",
    ControlName.UNTRAINED: "Untrained network",
}


def _number(values: Values, name: str) -> float:
    value = values[name]
    return float(value) if isinstance(value, (int, float)) else float("nan")


def _percent(value: float) -> str:
    if value != value:
        return "not measured"
    digits = 0 if abs(value) >= 0.0995 or value == 0 else 1
    return f"{100 * value:.{digits}f} %"


def _points(values: Values, name: str) -> str:
    """An effect in percentage points, with its interval."""
    value, low, high = (100 * _number(values, f"{name}{end}") for end in ("", "_low", "_high"))
    if low != low:
        return f"{value:.0f} points (no interval)"
    return f"{value:.0f} points (95 % interval {low:.0f} to {high:.0f})"


def _counted(values: Values, name: str, one: str) -> str:
    count = values[name]
    return f"{count} {one}" + ("" if count == 1 else "s")


def _loss_everywhere(v: Values) -> str:
    return (
        "On another class's background the probability of the right class falls by "
        f"{_points(v, 'gap')} more than on another background of its own class; the floor is "
        f"{100 * _number(v, 'floor'):.0f} and the false-discovery rate q = {_number(v, 'q'):.2g}."
    )


def _loss_to_one_class(v: Values) -> str:
    return (
        f"On backgrounds of {v['attracting_class'] or 'one other class'} the probability of the "
        f"right class falls by {100 * _number(v, 'probability_loss'):.0f} percentage points more "
        "than on backgrounds of its own class, and "
        f"{_percent(_number(v, 'decisions_changed'))} of the decisions change: a harm, the mean "
        f"of the two, of {_points(v, 'harm')}; the floor is {100 * _number(v, 'floor'):.0f} and "
        f"q = {_number(v, 'q'):.2g}. Over all other backgrounds together it loses "
        f"{_points(v, 'gap')}."
    )


def _tags(v: Values) -> str:
    count = len(v) // 3
    return "; ".join(
        f"gain {v[f'gain_{k}']:g}: {v[f'found_{k}']} of {v[f'tested_{k}']} found"
        for k in range(1, count + 1)
    )


_WINDOWS = {
    "blank_map": "have a blank saliency map",
    "no_evidence": "have no saliency on the background",
    "no_background": "have too little background for a window",
}


def _windows(v: Values) -> str:
    parts = [f"{v[name]} {why}" for name, why in _WINDOWS.items() if v[name]]
    return f"Of {v['images']} images looked at, {', '.join(parts)}."


def _agreement(v: Values) -> str:
    said = f"{v['background']} of {v['asked']} indicators say background"
    return f"{said}, {v['unclear']} unclear." if v["unclear"] else f"{said}."


SENTENCES: dict[Code, str | Callable[[Values], str]] = {
    Code.LOSS_EVERYWHERE: _loss_everywhere,
    Code.LOSS_TO_ONE_CLASS: _loss_to_one_class,
    Code.EFFECT_EXCLUDED: lambda v: (
        f"Exchanging the background costs the right class {_points(v, 'gap')}; an effect of "
        f"{100 * _number(v, 'floor'):.0f} points or more is excluded."
    ),
    Code.LOSS_MEASURED: lambda v: (
        f"Exchanging the background costs the right class {_points(v, 'gap')}; the floor is "
        f"{100 * _number(v, 'floor'):.0f}."
    ),
    Code.FEW_DECISIONS_CHANGE: lambda v: (
        f"Only {_percent(_number(v, 'decisions'))} of the decisions change with it, and a "
        f"moderate loss counts from {_percent(_number(v, 'needed'))}."
    ),
    Code.TAKES_BACKGROUND_FOR_CLASS: (
        "The model takes this class's usual background for a sign of the class itself."
    ),
    Code.LOSS_GOES_TO_CLASS: lambda v: (
        f"The loss goes to {v['attracting_class']}: on foreign backgrounds its votes are taken by "
        "that class. The shortcut may be the other class's, not its own."
    ),
    Code.LOSS_GOES_TO_MANY: (
        "The loss goes to the classes whose backgrounds were used; no shortcut of its own shows."
    ),
    Code.NEITHER_SHOWN_NOR_EXCLUDED: lambda v: (
        "An effect as large as the floor can neither be shown nor excluded with "
        f"{_counted(v, 'images', 'image')}."
    ),
    Code.IMAGES_WOULD_SETTLE: lambda v: (
        f"About {v['images']:,} images would settle it, if the effect is what it seems."
    ),
    Code.INDICATORS_AGREE: _agreement,
    Code.ATTRACTS_OBJECTS: lambda v: (
        "Objects of other classes placed on its backgrounds become this class "
        f"{_points(v, 'excess')} more often than elsewhere."
    ),
    Code.BACKGROUND_ALONE_SUFFICES: lambda v: (
        "With the object removed, the background alone is still called this class "
        f"{_points(v, 'excess')} more often than other backgrounds are."
    ),
    Code.MAPS_OFF_OBJECT_HARMLESS: (
        "Harmless context: its saliency lies further off the object than that of other classes, "
        "but exchanging the background does not move the decision."
    ),
    Code.MAPS_LOOK_NORMAL: (
        "Hidden shortcut: its saliency maps look no worse than those of other classes; only the "
        "experiment shows the dependence."
    ),
    Code.MAPS_AGREE: "Its saliency maps agree: they lie unusually far off the object.",
    Code.SELDOM_RECOGNISED: lambda v: (
        f"The model recognises only {_percent(_number(v, 'recall'))} of its images to begin with, "
        "so there is little for a background to take away."
    ),
    Code.OUTLINE_DECIDES_MAPS: lambda v: (
        "Where its saliency lies depends on how the foreground is drawn: the mass lift is "
        f"{_number(v, 'narrower'):.2f} with a narrower, {_number(v, 'given'):.2f} with this and "
        f"{_number(v, 'wider'):.2f} with a wider outline. The maps of this class prove nothing "
        "either way."
    ),
    Code.NO_FOREGROUNDS: (
        "Without foregrounds no background can be exchanged, so this audit cannot tell whether "
        "the class depends on its background. Give masks or boxes (foreground.source)."
    ),
    Code.NO_IMAGES: "The dataset has no image of this class.",
    Code.TOO_FEW_IMAGES: lambda v: (
        f"Too few to judge: {_counted(v, 'judged', 'image')} with a usable foreground and donors, "
        f"{v['needed']} needed; {_counted(v, 'missing', 'more image')} would do."
    ),
    Code.COVERAGE_TOO_LOW: lambda v: (
        f"Only {_percent(_number(v, 'coverage'))} of its images could be measured; the least is "
        f"{_percent(_number(v, 'needed'))}."
    ),
    Code.RUN_INCOMPLETE: lambda v: (
        f"Exchanging the background costs the right class {_points(v, 'gap')}, but the run is "
        "incomplete (another class could not be measured well enough), and an incomplete run "
        "calls nothing clear."
    ),
    Code.VARY_TRAINING_BACKGROUNDS: (
        "Collect or composite training images of this class on the backgrounds of other classes, "
        "retrain, and audit again."
    ),
    Code.DO_NOT_RELY_ON_ACCURACY: (
        "Until then do not rely on its accuracy where the usual background is absent."
    ),
    Code.LOOK_AT_ATTRACTING_CLASS: lambda v: (
        f"Look at {v['attracting_class'] or 'the classes that take its votes'} first: train it on "
        "more varied backgrounds, then audit again."
    ),
    Code.COLLECT_UNUSUAL_BACKGROUNDS: (
        "More images of this class on unusual backgrounds help as well."
    ),
    Code.AUDIT_WITH_MORE_IMAGES: (
        "Audit it again with more images; look at its exhibits meanwhile."
    ),
    Code.ADD_IMAGES_WITH_FOREGROUNDS: (
        "Add labelled images with foregrounds; no verdict, good or bad, can be given yet."
    ),
    Code.NOT_MEASURED: "not measured",
    Code.CLASSES_FLAGGED: lambda v: f"{v['flagged']} of {v['of']} classes flagged",
    Code.TAGS_FOUND: _tags,
    Code.UNTRAINED_COMPARED: lambda v: (
        f"mass lift {_number(v, 'lift'):.2f} against {_number(v, 'untrained_lift'):.2f} untrained "
        f"({v['images']} images, p = {_number(v, 'p'):.2g})"
    ),
    Code.LIMIT_INSIDE_FOREGROUND: (
        "A cue inside the foreground (a collar, a watermark on the object) is invisible to "
        "background swaps, and so is a cue that all classes share."
    ),
    Code.LIMIT_SHARED_BACKGROUND: "Classes that share one background can hide each other.",
    Code.LIMIT_OFTEN_TOGETHER: (
        "Objects that often appear together were tested too little to promise that they are found."
    ),
    Code.LIMIT_FOREGROUND_QUALITY: (
        "Foregrounds that miss part of the object accuse the innocent; boxes and generous masks "
        "lose some cases and accuse nobody."
    ),
    Code.LIMIT_OTHER_PHOTOGRAPHS: (
        "The verdict holds for this model on these photographs. It says nothing about photographs "
        "of another kind."
    ),
    Code.LIMIT_MAPS_ILLUSTRATE: (
        "Saliency maps are pictures of where the score is sensitive. They illustrate; the swap "
        "experiment decides."
    ),
    Code.FEATURES_LAST_LAYER_INPUT: lambda v: f"the input of the model's last layer, {v['layer']}",
    Code.FEATURES_POOLED_LAYER: lambda v: (
        f"the pooled output of the layer {v['layer']}, since no last layer was found"
    ),
    Code.FEATURES_CLASS_SCORES: "the class scores, since no layer before them was found",
    Code.NO_CUE_IMAGES: (
        "No cue was found: no image of the class has both an object and a background."
    ),
    Code.NO_CUE_FOUND: "No cue was found.",
    Code.IMAGES_WITHOUT_WINDOW: _windows,
    Code.CMV_NOT_FIRST: lambda v: (
        f"Failed: among the classes that the model sees in it, this one is {v['rank']}."
    ),
    Code.CMV_NOT_ROBUST: lambda v: (
        "Failed: after small shifts and zooms the model gives this picture only "
        f"{_number(v, 'probability'):.0%} for the class."
    ),
    Code.CMV_LOST_IN_JPEG: lambda v: f"Failed: after JPEG the class is only number {v['rank']}.",
    Code.CMV_LOST_IN_SHIFT: lambda v: (
        f"Failed: after a small shift the class is only number {v['rank']}."
    ),
}

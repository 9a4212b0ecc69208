"""The words of the record's enums, and of the keys that a run writes down."""

from __future__ import annotations

from collections.abc import Mapping

from audit.findings import (
    CmvEntry,
    Exhibit,
    IndicatorName,
    Kind,
    Role,
    RunStatus,
    Says,
    Strength,
    Unit,
    Verdict,
)
from audit.report.i18n import N_, gettext
from audit.report.untrusted import shorten

VERDICTS: Mapping[Verdict, tuple[str, str]] = {
    # Word and shape carry the meaning; the colour only repeats it.
    Verdict.SUSPECT: ("▲", N_("suspect")),
    Verdict.WATCH: ("◆", N_("watch")),
    Verdict.INCONCLUSIVE: ("○", N_("inconclusive")),
    Verdict.CLEAR: ("●", N_("clear")),
}

_WORDS: Mapping[Kind | Strength | Says | Unit | Role | RunStatus, str] = {
    Kind.OWN_SHORTCUT: N_("its own shortcut"),
    Kind.VICTIM: N_("affected by another class"),
    Strength.STRONG: N_("strong effect"),
    Strength.MODERATE: N_("moderate effect"),
    Says.BACKGROUND: N_("background"),
    Says.OBJECT: N_("object"),
    Says.UNCLEAR: N_("unclear"),
    Unit.PROBABILITY: N_("probability"),
    Unit.RATE: N_("rate"),
    Unit.LOG_ODDS: N_("log-odds"),
    Unit.SHARE: N_("share"),
    Role.WORST: N_("worst"),
    Role.TYPICAL: N_("typical"),
    Role.BEST: N_("best"),
    Role.MISTAKEN: N_("mistaken"),
    RunStatus.RUNNING: N_("running"),
    RunStatus.FAILED: N_("failed"),
    RunStatus.COMPLETE: N_("complete"),
    RunStatus.INCOMPLETE: N_("incomplete"),
}


def shape(verdict: Verdict) -> str:
    """The mark of a verdict."""
    return VERDICTS[verdict][0]


def verdict_word(verdict: Verdict) -> str:
    """The word of a verdict."""
    return gettext(VERDICTS[verdict][1])


def word(value: Kind | Strength | Says | Unit | Role | RunStatus) -> str:
    """The word of a small value of the record."""
    return gettext(_WORDS[value])


def kind_word(kind: Kind, attracting_class: str | None) -> str:
    """Say whose background a suspect class depends on; empty where that is not known."""
    if kind is Kind.NONE:
        return ""
    if kind is Kind.VICTIM and attracting_class:
        return gettext("affected by %(name)s", name=shorten(attracting_class, 40))
    return word(kind)


_RULES: Mapping[Role, str] = {
    Role.WORST: N_("loses most of the right class's probability on another class's background"),
    Role.TYPICAL: N_("foreground mass nearest to the median of the class"),
    Role.BEST: N_("keeps the right class best on other backgrounds, most mass on the object"),
    Role.MISTAKEN: N_("wrong with the highest confidence"),
}
_RULES_WITHOUT_FOREGROUNDS: Mapping[Role, str] = {
    Role.TYPICAL: N_("right, with the confidence nearest to the median of the class"),
    Role.BEST: N_("right with the highest confidence"),
}


def rule(exhibit: Exhibit) -> str:
    """Say by which rule an exhibit was chosen."""
    if exhibit.foreground_area is None and exhibit.role in _RULES_WITHOUT_FOREGROUNDS:
        return gettext(_RULES_WITHOUT_FOREGROUNDS[exhibit.role])
    return gettext(_RULES[exhibit.role])


_INDICATORS: Mapping[IndicatorName, tuple[str, str]] = {
    IndicatorName.BACKGROUND_SWAP: (
        N_("Background swap"),
        N_("Probability lost on another class's background, beyond a same-class swap."),
    ),
    IndicatorName.FOLLOW_UP: (
        N_("Follow-up"),
        N_(
            "Half the probability lost and half the decisions changed, on fresh backgrounds of the "
            "one class that costs it most."
        ),
    ),
    IndicatorName.ATTRACTION: (
        N_("Attraction"),
        N_("How much more often other objects become this class on its backgrounds."),
    ),
    IndicatorName.BACKGROUND_ONLY: (
        N_("Background only"),
        N_("How much more often the background alone is called this class."),
    ),
    IndicatorName.SALIENCY: (
        N_("Saliency"),
        N_(
            "Saliency on the object beyond its area; says background only when far below the other "
            "classes. A picture, and the weakest indicator."
        ),
    ),
    IndicatorName.CMV: (
        N_("CMV"),
        N_(
            "Of what objects and backgrounds have in common with the class model visualization, in "
            "the model's own features, the backgrounds' part. Decides nothing."
        ),
    ),
}


def indicator_name(name: IndicatorName) -> str:
    """The name of an indicator."""
    return gettext(_INDICATORS[name][0])


def indicator_explained(name: IndicatorName) -> str:
    """What an indicator measures."""
    return gettext(_INDICATORS[name][1])


_KEYS: Mapping[str, str] = {
    # Steps, settings and hashes, as run.json names them.
    "model": N_("model"),
    "data": N_("images"),
    "manifest": N_("manifest"),
    "outlines": N_("outlines"),
    "masks": N_("masks"),
    "donors": N_("donors"),
    "scores": N_("scores"),
    "score": N_("scores"),
    "follow-up": N_("follow-up"),
    "more images": N_("more images"),
    "second outlines": N_("second outlines"),
    "controls": N_("controls"),
    "exhibits": N_("exhibits"),
    "mean maps": N_("mean maps"),
    "cues": N_("cues"),
    "cmv": N_("class model visualizations"),
    "cmvs": N_("class model visualizations"),
    "compiling": N_("compiling"),
    "gather": N_("gathering"),
    "decide": N_("verdicts"),
    "verdicts": N_("verdicts"),
    "compose": N_("composing"),
    "report": N_("report"),
    "saliency method": N_("saliency method"),
    "saliency target": N_("saliency target"),
    "foreground source": N_("source of foregrounds"),
    "donors per image": N_("donors per image"),
    "fill": N_("filling"),
    "seed": N_("seed"),
    "saliency layer": N_("saliency layer"),
    "input side": N_("side of the input, pixels"),
    "resize": N_("resize"),
    "crop": N_("crop"),
    "interpolation": N_("interpolation"),
    "compile": N_("compile"),
    "trusted file": N_("trusted file"),
    "center": N_("centre"),
    "mean": N_("mean"),
    "std": N_("standard deviation"),
    "mask_file": N_("mask files"),
    "bounding_box": N_("boxes"),
    "coco_segments": N_("COCO segments"),
    "voc_segments": N_("VOC segments"),
    "yolo_polygons": N_("YOLO polygons"),
    "estimated": N_("estimated outlines"),
    "none": N_("none"),
}


def key_word(key: str) -> str:
    """The word of a step, a setting or a source; one that is not known stands as it is."""
    known = _KEYS.get(key) or _KEYS.get(key.replace("_", " "))
    return gettext(known) if known else key.replace("_", " ")


def setting_word(value: str | int | float | bool | None) -> str:
    """The value of a setting."""
    if value is None:
        return gettext("none")
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    return key_word(str(value))


def objective_word(entry: CmvEntry) -> str:
    """What a class model visualization maximises."""
    if entry.objective == "contrast":
        if entry.rival:
            return gettext("This class rather than %(rival)s", rival=shorten(entry.rival))
        return gettext("This class rather than the others")
    if entry.objective == "diversity":
        return gettext("One of several, number %(number)s", number=entry.variant + 1)
    known = {"logit": N_("Class score"), "softmax": N_("Softmax posterior")}
    return gettext(known[entry.objective]) if entry.objective in known else entry.objective


def recipe_word(recipe: str) -> str:
    """How a class model visualization was made."""
    known = {
        "robust": N_("Robust recipe"),
        "simonyan": N_("Simonyan’s form"),
        "maco": N_("Magnitudes of photographs"),
    }
    return gettext(known[recipe]) if recipe in known else recipe

"""Sentences from numbers, by rule: why a class has its verdict, and what to do next."""

from __future__ import annotations

import math
from typing import Any

from audit.manifest import VerdictSection
from audit.verdicts.decide import (
    CLEAR,
    DECISIONS,
    EXCESS_FLOOR,
    INCONCLUSIVE,
    SUSPECT,
    VICTIM_FLOOR,
    WATCH,
    leans_by_mass,
    loses_anywhere,
)
from audit.verdicts.indicators import agreement


def percent(value: float) -> str:
    """A share for people.

    Examples
    --------
    >>> percent(0.714), percent(0.004), percent(float("nan"))
    ('71 %', '0.4 %', 'not measured')
    """
    if math.isnan(value):
        return "not measured"
    digits = 0 if abs(value) >= 0.0995 or value == 0 else 1
    return f"{100 * value:.{digits}f} %"


def points(row: dict[str, Any], name: str) -> str:
    """An effect in percentage points, with its interval."""
    value, low, high = (100 * row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if math.isnan(low):
        return f"{value:.0f} points (no interval)"
    return f"{value:.0f} points (95 % interval {low:.0f} to {high:.0f})"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun.

    Examples
    --------
    >>> plural(1, "image"), plural(2, "class", "classes")
    ('1 image', '2 classes')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"


def reasons(
    row: dict[str, Any], thresholds: VerdictSection, min_coverage: float, has_foregrounds: bool
) -> list[str]:
    """Why this class has its verdict, the strongest reason first.

    Parameters
    ----------
    row : dict
        One row of :func:`audit.verdicts.decide.decide`, with ``attractor``.
    thresholds : VerdictSection
        Of the manifest.
    min_coverage : float
        Of the manifest.
    has_foregrounds : bool
        Whether the audit was given foregrounds.
    """
    verdict = row["verdict"]
    if verdict == INCONCLUSIVE:
        return _too_little(row, thresholds, min_coverage, has_foregrounds) + _context(row)
    said = [_swap_sentence(row, thresholds)]
    if verdict == SUSPECT:
        said.append(_kind_sentence(row))
    if verdict == WATCH and row["background_gap_high"] >= thresholds.effect:
        said.append(
            "An effect as large as the floor can neither be shown nor excluded with "
            f"{plural(row['judged'], 'image')}.{_images_that_would_do(row, thresholds)}"
        )
    said += [agreement(row, thresholds)] if verdict == SUSPECT else []
    return said + _witness_sentences(row) + _context(row) + _foreground_sentences(row)


ENOUGH_IMAGES = 100_000
"""Beyond this a number of images is no advice."""


def _images_that_would_do(row: dict[str, Any], thresholds: VerdictSection) -> str:
    """How many images would narrow the interval to less than its distance from the floor."""
    half = (row["background_gap_high"] - row["background_gap_low"]) / 2
    away = abs(row["background_gap"] - thresholds.effect)
    if not half > 0 or away == 0:
        return ""
    # The width of the interval falls with the root of the number of images.
    needed = math.ceil(row["judged"] * (half / away) ** 2)
    if not row["judged"] < needed <= ENOUGH_IMAGES:
        return ""
    return f" About {needed:,} images would settle it, if the effect is what it seems."


def _swap_sentence(row: dict[str, Any], thresholds: VerdictSection) -> str:
    gap = points(row, "background_gap")
    floor = 100 * thresholds.effect
    if row["verdict"] == SUSPECT and not loses_anywhere(row, thresholds):
        return (
            f"On backgrounds of {row['attractor'] or 'one other class'} the probability of the "
            f"right class falls by {100 * row['victim_gap']:.0f} percentage points more than on "
            f"backgrounds of its own class, and {percent(row['victim_flips'])} of the decisions "
            f"change: a harm, the mean of the two, of {points(row, 'victim_harm')}; the floor is "
            f"{100 * VICTIM_FLOOR:.0f} and q = {row['victim_q']:.2g}. Over all other backgrounds "
            f"together it loses {gap}."
        )
    if row["verdict"] == SUSPECT:
        return (
            "On another class's background the probability of the right class falls by "
            f"{gap} more than on another background of its own class; the floor is {floor:.0f} "
            f"and the false-discovery rate q = {row['q_value']:.2g}."
        )
    if row["verdict"] == CLEAR:
        return (
            f"Exchanging the background costs the right class {gap}; an effect of {floor:.0f} "
            "points or more is excluded."
        )
    said = f"Exchanging the background costs the right class {gap}; the floor is {floor:.0f}."
    if row["q_value"] <= thresholds.fdr and row["background_gap"] >= thresholds.effect:
        said += (
            f" But only {percent(max(0.0, row['decision_gap']))} of the decisions change with it, "
            f"and a moderate loss counts from {percent(DECISIONS)}."
        )
    return said


def _kind_sentence(row: dict[str, Any]) -> str:
    if row["kind"] == "own_shortcut":
        return "The model takes this class's usual background for a sign of the class itself."
    taker = row["attractor"]
    if taker:
        return (
            f"The loss goes to {taker}: on foreign backgrounds its votes are taken by that class. "
            "The shortcut may be the other class's, not its own."
        )
    return "The loss goes to the classes whose backgrounds were used; no shortcut of its own shows."


def _witness_sentences(row: dict[str, Any]) -> list[str]:
    said = []
    if row["attraction"] >= EXCESS_FLOOR and row["attraction_low"] > 0:
        said.append(
            f"Objects of other classes placed on its backgrounds become this class "
            f"{points(row, 'attraction')} more often than elsewhere."
        )
    if row["background_only"] >= EXCESS_FLOOR and row["background_only_low"] > 0:
        said.append(
            "With the object removed, the background alone is still called this class "
            f"{points(row, 'background_only')} more often than other backgrounds are."
        )
    if leans_by_mass(row) and row["verdict"] == CLEAR:
        said.append(
            "Harmless context: its saliency lies further off the object than that of other "
            "classes, but exchanging the background does not move the decision."
        )
    if row["verdict"] == SUSPECT and row["lift_z"] >= 0:
        said.append(
            "Hidden shortcut: its saliency maps look no worse than those of other classes; only "
            "the experiment shows the dependence."
        )
    elif row["verdict"] == SUSPECT and leans_by_mass(row):
        said.append("Its saliency maps agree: they lie unusually far off the object.")
    return said


def _foreground_sentences(row: dict[str, Any]) -> list[str]:
    """Whether the picture would be another one with foregrounds drawn narrower or wider."""
    lifts = [row["mass_lift_eroded"], row["mass_lift"], row["mass_lift_dilated"]]
    if any(math.isnan(lift) for lift in lifts) or len({lift >= 0 for lift in lifts}) == 1:
        return []
    return [
        "Where its saliency lies depends on how the foreground is drawn: the mass lift is "
        f"{lifts[0]:.2f} with a narrower, {lifts[1]:.2f} with this and {lifts[2]:.2f} with a wider "
        "outline. The maps of this class prove nothing either way."
    ]


def _too_little(
    row: dict[str, Any], thresholds: VerdictSection, min_coverage: float, has_foregrounds: bool
) -> list[str]:
    if not has_foregrounds:
        return [
            "Without foregrounds no background can be exchanged, so this audit cannot tell whether "
            "the class leans on its background. Give masks or boxes (foreground.source)."
        ]
    said = []
    if row["images"] == 0:
        return ["The dataset has no image of this class."]
    if row["judged"] < thresholds.minimum_images:
        missing = thresholds.minimum_images - row["judged"]
        said.append(
            f"Too few to judge: {plural(row['judged'], 'image')} with a usable foreground and "
            f"donors, {thresholds.minimum_images} needed; {plural(missing, 'more image')} would do."
        )
    if row["coverage"] < min_coverage:
        said.append(
            f"Only {percent(row['coverage'])} of its images could be measured; the least is "
            f"{percent(min_coverage)}."
        )
    if not said:
        said.append(
            f"Exchanging the background costs the right class {points(row, 'background_gap')}, "
            "but the run is incomplete (another class could not be measured well enough), and an "
            "incomplete run calls nothing clear."
        )
    return said


def _context(row: dict[str, Any]) -> list[str]:
    if row["answered"] and row["recall"] < 0.5:
        return [
            f"The model recognises only {percent(row['recall'])} of its images to begin with, so "
            "there is little for a background to take away."
        ]
    return []


def advice(row: dict[str, Any]) -> list[str]:
    """What to do next about this class."""
    if row["verdict"] == SUSPECT and row["kind"] == "own_shortcut":
        return [
            "Collect or composite training images of this class on the backgrounds of other "
            "classes, retrain, and audit again.",
            "Until then do not rely on its accuracy where the usual background is absent.",
        ]
    if row["verdict"] == SUSPECT:
        taker = row["attractor"] or "the classes that take its votes"
        return [
            f"Look at {taker} first: train it on more varied backgrounds, then audit again.",
            "More images of this class on unusual backgrounds help as well.",
        ]
    if row["verdict"] == WATCH:
        return ["Audit it again with more images; look at its exhibits meanwhile."]
    if row["verdict"] == INCONCLUSIVE:
        return ["Add labelled images with foregrounds; no verdict, good or bad, can be given yet."]
    return []

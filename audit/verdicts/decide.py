"""The decision: one word per class, its kind, and the sentences that say why.

A class is

- ``suspect`` when its swap test is significant under false-discovery control **and** the effect
  is at least the floor (a moderate effect only where decisions change with it); or when the second
  look shows, likewise significant, that *one* other class's background harms it: the mean of the
  probability lost and of the share of decisions changed is at least :data:`VICTIM_FLOOR`. Without
  the floors a harmless 1 % becomes "significant"; without the test innocent classes are flagged at
  small n.
- ``clear`` when the interval of the effect stays below the floor and no other witness speaks.
- ``inconclusive`` when there are too few images, or the foregrounds cannot carry a verdict.
- ``watch`` otherwise: an effect of the size of the floor can neither be shown nor excluded, or
  the class's background attracts other objects although its own do without it.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from audit.manifest import VerdictSection

SUSPECT, WATCH, CLEAR, INCONCLUSIVE = "suspect", "watch", "clear", "inconclusive"
VERDICTS = (SUSPECT, WATCH, INCONCLUSIVE, CLEAR)
"""In the order in which a reader should meet them."""

OWN_MARGIN_FLOOR = 0.4
TYPICAL_CLASSES = 3
"""With fewer other classes a loss to all of them and a loss to one cannot be told apart."""
DECISIONS = 0.10
"""Share of the decisions that must change where the effect is moderate: a lower confidence alone
harms nobody. A strong effect speaks for itself."""
VICTIM_FLOOR = 0.23
"""Harm by one other class's background from which its victim is suspect: half the probability lost
and half the share of decisions changed."""
EXCESS_FLOOR = 0.25
MASS_Z = -2.0


def decide(
    effects: pd.DataFrame, thresholds: VerdictSection, min_coverage: float, has_foregrounds: bool
) -> pd.DataFrame:
    """Give each class its verdict.

    Parameters
    ----------
    effects : DataFrame
        From :func:`audit.verdicts.effects.class_effects`.
    thresholds : VerdictSection
        Of the manifest.
    min_coverage : float
        Share of a class's images that must be measured, 0..1. If any class stays below it, the
        run is incomplete and no class of it is called clear.
    has_foregrounds : bool
        Whether the audit was given foregrounds at all.

    Returns
    -------
    DataFrame
        `effects` with ``verdict``, ``kind``, ``strength``, ``coverage`` and ``complete``.
    """
    coverage = effects["covered" if has_foregrounds else "answered"] / effects["images"]
    complete = not bool((coverage < min_coverage).any())
    table = effects.assign(coverage=coverage)
    verdicts = [_verdict(row, thresholds, min_coverage, complete) for row in _rows(table)]
    kinds = [
        _kind(row, thresholds) if verdict == SUSPECT else "none"
        for row, verdict in zip(_rows(table), verdicts, strict=True)
    ]
    strengths = [
        "none"
        if verdict != SUSPECT
        else "strong"
        if row["background_gap"] >= thresholds.strong_effect
        else "moderate"
        for row, verdict in zip(_rows(table), verdicts, strict=True)
    ]
    return table.assign(verdict=verdicts, kind=kinds, strength=strengths, complete=complete)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_dict("records")
    return rows


def _verdict(
    row: dict[str, Any], thresholds: VerdictSection, min_coverage: float, complete: bool
) -> str:
    if row["judged"] < thresholds.minimum_images or math.isnan(row["q_value"]):
        return INCONCLUSIVE
    if loses_anywhere(row, thresholds) or loses_to_one(row, thresholds):
        return SUSPECT
    if row["coverage"] < min_coverage:
        return INCONCLUSIVE
    if not row["background_gap_high"] < thresholds.effect or speaks_for_itself(row, thresholds):
        return WATCH
    return CLEAR if complete else INCONCLUSIVE


def loses_anywhere(row: dict[str, Any], thresholds: VerdictSection) -> bool:
    """Whether other classes' backgrounds, taken together, cost the class enough."""
    gap = row["background_gap"]
    return bool(
        row["q_value"] <= thresholds.fdr
        and gap >= thresholds.effect
        and (gap >= thresholds.strong_effect or row["decision_gap"] >= DECISIONS)
    )


def loses_to_one(row: dict[str, Any], thresholds: VerdictSection) -> bool:
    """Whether the background of one other class costs it enough, by the second look."""
    floor = max(VICTIM_FLOOR, thresholds.effect)
    return bool(row["victim_q"] <= thresholds.fdr and row["victim_harm"] >= floor)


def speaks_for_itself(row: dict[str, Any], thresholds: VerdictSection) -> bool:
    """Whether the class's background makes this class of other things, or of nothing at all."""
    return any(
        row[f"{name}_q"] <= thresholds.fdr and row[name] >= EXCESS_FLOOR
        for name in ("attraction", "background_only")
    )


def _kind(row: dict[str, Any], thresholds: VerdictSection) -> str:
    """Own shortcut, or victim of another class's: they want different repairs.

    Who leans on its own background loses on whatever else stands behind it: the median over the
    donor classes is as large as the floor. A victim loses to one or few.
    """
    if speaks_for_itself(row, thresholds):
        return "own_shortcut"
    if row["donor_classes"] < TYPICAL_CLASSES:
        return "own_shortcut" if row["own_margin_gap"] >= OWN_MARGIN_FLOOR else "victim"
    return "own_shortcut" if row["typical_gap"] >= thresholds.effect else "victim"


def leans_by_mass(row: dict[str, Any]) -> bool:
    """Whether its maps lie unusually far off the object, compared with the other classes."""
    return bool(row["lift_z"] <= MASS_Z)

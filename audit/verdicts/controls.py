"""The run's own checks of itself, so that a silent detector is not taken for a clean model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from audit.manifest import VerdictSection
from audit.verdicts.statistics import false_discovery, greater_than_zero


def negative_control(scores: pd.DataFrame, thresholds: VerdictSection) -> dict[str, Any]:
    """Swap within the class on both sides: the same rule must flag no class.

    One half of an image's same-class donors plays the foreign background. Nothing can be gained
    or lost but by chance, so every class flagged here is a false alarm.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    thresholds : VerdictSection
        Of the manifest.
    """
    met = scores[scores["swap_same_margins"].map(lambda held: held is not None and len(held) >= 2)]
    classes, gaps, p_values = [], [], []
    for label, own in met.groupby("label"):
        if len(own) < thresholds.minimum_images:
            continue
        margins = [_halves(held) for held in own["swap_same_margins"]]
        probabilities = [_halves(held) for held in own["swap_same_probabilities"]]
        classes.append(label)
        gaps.append(float(np.mean([a - b for a, b in probabilities])))
        p_values.append(greater_than_zero([a - b for a, b in margins]))
    flagged = int(
        np.sum(
            (false_discovery(p_values) <= thresholds.fdr) & (np.array(gaps) >= thresholds.effect)
        )
        if classes
        else 0
    )
    return {
        "name": "Negative control",
        "description": (
            "The same rule, with other backgrounds of the same class in the place of foreign ones. "
            "Nothing should be flagged."
        ),
        "expected": "0 classes flagged",
        "found": f"{flagged} of {len(classes)} classes flagged" if classes else "not measured",
        "passed": flagged == 0 if classes else None,
    }


def _halves(values: Any) -> tuple[float, float]:
    half = len(values) // 2
    return float(np.mean(values[:half])), float(np.mean(values[half:]))


def positive_control(
    held: Sequence[Mapping[str, Any]], thresholds: VerdictSection
) -> dict[str, Any]:
    """Whether a tag planted on some classes would have been found: sensitivity today.

    Parameters
    ----------
    held : sequence of dict
        From :func:`audit.measuring.controls.plant_tags`.
    thresholds : VerdictSection
        Of the manifest.
    """
    found: dict[float, tuple[int, int]] = {}
    for gain in sorted({one["gain"] for one in held}):
        tested = [one for one in held if one["gain"] == gain and one["g"]]
        q_values = false_discovery([greater_than_zero(one["h"]) for one in tested])
        gaps = np.array([float(np.mean(one["g"])) for one in tested])
        hits = int(((q_values <= thresholds.fdr) & (gaps >= thresholds.effect)).sum())
        found[gain] = (hits, len(tested))
    full = found.get(FULL_GAIN)
    return {
        "name": "Positive control",
        "description": (
            "A tag in the corner, planted in memory on some classes, and a model made to need it. "
            "The gain is what the tag is worth, in units of the class's usual lead."
        ),
        "expected": f"every tagged class found at gain {FULL_GAIN:g}",
        "found": "; ".join(
            f"gain {gain:g}: {hits} of {tested} found" for gain, (hits, tested) in found.items()
        )
        or "not measured",
        "passed": full[0] == full[1] if full and full[1] else None,
    }


FULL_GAIN = 1.0


def untrained_control(held: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Whether the maps tell more than those of a network that learned nothing.

    Parameters
    ----------
    held : dict
        From :func:`audit.measuring.controls.untrained_lifts`.
    """
    trained, blank = (np.asarray(held.get(name, ()), np.float64) for name in _SIDES)
    differences = trained - blank
    found, passed = "not measured", None
    if len(differences) >= 2:
        p_value = 0.0 if np.ptp(differences) == 0 else stats.ttest_1samp(differences, 0).pvalue
        passed = bool(p_value <= 0.05 and np.any(differences != 0))
        found = (
            f"mass lift {trained.mean():.2f} against {blank.mean():.2f} untrained "
            f"({len(differences)} images, p = {p_value:.2g})"
        )
    return {
        "name": "Untrained network",
        "description": (
            "The same saliency method on the same network with random weights: what the form of "
            "the network alone puts on the object."
        ),
        "expected": "maps that differ from an untrained network's",
        "found": found,
        "passed": passed,
    }


_SIDES = ("trained", "untrained")

"""The run's own checks of itself, so that a silent detector is not taken for a clean model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

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

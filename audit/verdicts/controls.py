"""The run's own checks of itself, so that a silent detector is not taken for a clean model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from audit.findings import Code, Control, ControlName, PlantedTag, Reason, UntrainedLifts
from audit.manifest import VerdictSection
from audit.verdicts.statistics import false_discovery, greater_than_zero


def negative_control(scores: pd.DataFrame, thresholds: VerdictSection) -> Control:
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
    classes, gaps, p_values = [], [], []
    gained = _halves_compared(scores)
    for label, at in gained.groupby("label").indices.items():
        if len(at) < thresholds.minimum_images:
            continue
        classes.append(label)
        gaps.append(float(gained["probability"].to_numpy()[at].mean()))
        p_values.append(greater_than_zero(gained["margin"].to_numpy()[at]))
    flagged = int(
        np.sum(
            (false_discovery(p_values) <= thresholds.fdr) & (np.array(gaps) >= thresholds.effect)
        )
        if classes
        else 0
    )
    found = Reason(code=Code.CLASSES_FLAGGED, values={"flagged": flagged, "of": len(classes)})
    return Control(
        name=ControlName.NEGATIVE,
        found=found if classes else Reason(code=Code.NOT_MEASURED),
        passed=flagged == 0 if classes else None,
    )


def _halves_compared(scores: pd.DataFrame) -> pd.DataFrame:
    """By how much the first half of an image's same-class donors exceeds the other half."""
    lists = scores["swap_same_margins"].to_numpy(dtype=object)
    counts = np.array([0 if held is None else len(held) for held in lists])
    swapped = scores[counts >= 2]
    compared = {"label": swapped["label"].to_numpy()}
    for name, column in (("margin", "margins"), ("probability", "probabilities")):
        compared[name] = np.empty(len(swapped))
        held = swapped[f"swap_same_{column}"].to_numpy(dtype=object)
        for count in np.unique(counts[counts >= 2]).tolist():
            at, half = np.flatnonzero(counts[counts >= 2] == count), count // 2
            values = np.array(held[at].tolist(), np.float64)
            first, other = values[:, :half].mean(1), values[:, half:].mean(1)
            compared[name][at] = first - other
    return pd.DataFrame(compared)


def positive_control(tags: Sequence[PlantedTag], thresholds: VerdictSection) -> Control:
    """Whether a tag planted on some classes would have been found: sensitivity today.

    Only tags that could be found are counted: one to which its class owes less than
    :data:`PLAIN_EFFECT` floors, since the class is seldom recognised anyway, is named and left out.

    Parameters
    ----------
    tags : sequence of PlantedTag
        From :func:`audit.measuring.controls.plant_tags`.
    thresholds : VerdictSection
        Of the manifest.
    """
    values: dict[str, int | float | str | None] = {}
    passed = None
    for number, gain in enumerate(sorted({tag.gain for tag in tags}), 1):
        planted = [tag for tag in tags if tag.gain == gain and tag.g]
        tested = [tag for tag in planted if _is_plain(tag, thresholds)]
        q_values = false_discovery([greater_than_zero(tag.h) for tag in tested])
        gaps = np.array([float(np.mean(tag.g)) for tag in tested])
        hits = int(((q_values <= thresholds.fdr) & (gaps >= thresholds.effect)).sum())
        values |= {f"gain_{number}": gain, f"found_{number}": hits, f"tested_{number}": len(tested)}
        if small := len(planted) - len(tested):
            values[f"small_{number}"] = small
        if gain == FULL_GAIN and tested:
            passed = hits == len(tested)
    return Control(
        name=ControlName.POSITIVE,
        found=Reason(code=Code.TAGS_FOUND, values=values)
        if values
        else Reason(code=Code.NOT_MEASURED),
        passed=passed,
    )


FULL_GAIN = 1.0
PLAIN_EFFECT = 1.5
"""An effect of just the floor is found every second time; one of so many floors shall be found."""


def _is_plain(tag: PlantedTag, thresholds: VerdictSection) -> bool:
    return tag.effect is None or tag.effect >= PLAIN_EFFECT * thresholds.effect


def untrained_control(lifts: UntrainedLifts) -> Control:
    """Whether the maps tell more than those of a network that learned nothing.

    Parameters
    ----------
    lifts : UntrainedLifts
        From :func:`audit.measuring.controls.untrained_lifts`.
    """
    trained, blank = (np.asarray(lift, np.float64) for lift in (lifts.trained, lifts.untrained))
    differences = trained - blank
    found, passed = Reason(code=Code.NOT_MEASURED), None
    if len(differences) >= 2:
        p_value = (
            0.0 if np.ptp(differences) == 0 else float(stats.ttest_1samp(differences, 0).pvalue)
        )
        passed = bool(p_value <= 0.05 and np.any(differences != 0))
        found = Reason(
            code=Code.UNTRAINED_COMPARED,
            values={
                "lift": float(trained.mean()),
                "untrained_lift": float(blank.mean()),
                "images": len(differences),
                "p": p_value,
            },
        )
    return Control(name=ControlName.UNTRAINED, found=found, passed=passed)

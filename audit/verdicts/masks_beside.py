"""Masks that lie beside their objects: what such outlines show accuses nobody.

They cannot be mended by drawing them wider. But then most classes are recognised with the masked
thing gone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from audit.findings import ClassFinding, Code, Reason, Verdict
from audit.verdicts.by_class import numbers
from audit.verdicts.outlines import put_on_watch

_WITHOUT = 0.8
"""Share of its recall that a class keeps without the masked thing, where that is not the object."""
_ALONE = 0.5
"""Share of its recall, at most, that the masked thing alone then gives."""
_MOST = 0.75
_FEWEST = 3
"""Classes of which :data:`_MOST` must be so."""


def classes_without_objects(scores: pd.DataFrame, least: int) -> tuple[int, int]:
    """In how many classes the masked thing is not what the model knows, and of how many.

    Such a class is recognised as well with the masked thing filled in, and not by that thing alone.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    least : int
        Images from which a class counts.
    """
    asked_names = ("prediction", "background_only_prediction", "object_only_prediction")
    answered = scores[scores["background_only_prediction"].notna()]
    labels, place = np.unique(answered["label"].to_numpy(), return_inverse=True)
    counts = np.bincount(place, minlength=len(labels))
    recall, without, alone = (
        np.bincount(place, numbers(answered, name) == labels[place], len(labels)) / counts
        for name in asked_names
    )
    known = (counts >= least) & (recall >= 0.5)
    beside = known & (without >= _WITHOUT * recall) & (alone <= _ALONE * recall)
    return int(beside.sum()), int(known.sum())


def masks_lie_beside(beside: int, asked: int) -> bool:
    """Whether that is so of most classes, of which a shortcut is no likely cause."""
    return asked >= _FEWEST and beside >= _MOST * asked


def drop_suspicions(
    classes: Sequence[ClassFinding], beside: int, asked: int
) -> tuple[ClassFinding, ...]:
    """No class is suspect by masks that lie beside the objects."""
    reason = Reason(code=Code.OBJECTS_ELSEWHERE, values={"classes": beside, "of": asked})
    return tuple(
        put_on_watch(finding, reason) if finding.verdict is Verdict.SUSPECT else finding
        for finding in classes
    )

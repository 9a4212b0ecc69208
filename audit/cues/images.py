"""Which images cues are looked for in: few of a class, chosen by a seed."""

from __future__ import annotations

import pandas as pd

from audit.findings import Status
from audit.sampling import at_most

IMAGES = 40
"""Most images of the class, and as many of its contrast class, that are looked at."""


def sampled(scores: pd.DataFrame, label: int, seed: int, most: int = IMAGES) -> list[int]:
    """Choose the images of a class that are looked at, by a seeded shuffle that no order changes.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``, indexed by their position.
    label : int
        The class.
    seed : int
        Of the run.
    most : int
        At most so many.

    Returns
    -------
    list of int
        Rows in ascending order; only such with object and background.
    """
    usable = scores["status"].isin((Status.SCORED, Status.BLANK_MAP))
    own = scores[(scores["label"] == label) & usable]
    return [int(row) for row in at_most(own, most, seed, "cues").index]


def others(scores: pd.DataFrame, label: int, seed: int) -> list[int]:
    """Choose images of all other classes, as :func:`sampled` chooses those of one."""
    usable = scores["status"].isin((Status.SCORED, Status.BLANK_MAP))
    foreign = scores[(scores["label"] != label) & usable]
    return [int(row) for row in at_most(foreign, IMAGES, seed, f"cue targets {label}").index]

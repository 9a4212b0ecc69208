"""Classes that may be looked at twice: more images meet donors where the first leave it open.

The design is closed beforehand: which classes may have a second look follows from how many images
they have, and how many images and which follows from the manifest and its seed. At the second look
a class is decided by all its images together, those of the first look among them.

The error rate holds by the union bound. Whether a class is suspect, or clear, is a rule of the data
of one look; imagine the second look taken in any case. A class is then accused wrongly at the end
only where the rule accuses it wrongly on the first images or on all of them, and each of these two
happens as rarely as for a class that has so many images and one look. So p-values of both looks
count twice, and intervals leave half the error outside. Classes that have no second look are judged
as if there were none.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from audit.manifest import Manifest
from audit.verdicts.statistics import LEVEL

STAGES = 2
"""How often such a class may be looked at."""


@dataclass(frozen=True)
class MoreImages:
    """What the second look may be taken at, and what it measured.

    Parameters
    ----------
    labels : frozenset of int
        Classes that may be looked at twice, from :func:`may_be_looked_at_twice`.
    swaps, follow_up : DataFrame, optional
        All rows of ``more_images.parquet`` and of ``more_follow_up.parquet``; None before it.
    """

    labels: frozenset[int]
    swaps: pd.DataFrame | None = None
    follow_up: pd.DataFrame | None = None

    @property
    def looked_at(self) -> frozenset[int]:
        """The classes that were looked at twice."""
        return frozenset() if self.swaps is None else frozenset(self.swaps["label"].tolist())


def may_be_looked_at_twice(labels: pd.Series[int], manifest: Manifest) -> frozenset[int]:
    """The classes that have as many further images as the second look needs.

    Parameters
    ----------
    labels : Series
        Of all images of the run.
    manifest : Manifest
        Says how many meet donors at first, and how many more at most.
    """
    first, more = manifest.swapped_images, manifest.more_images
    if first is None or not more:
        return frozenset()
    counts = labels.value_counts()
    return frozenset(counts.index[counts >= first + min(first, more)].tolist())


def level_of(label: int, twice: Collection[int]) -> float:
    """Of the intervals of a class, 0..1: those of both looks hold together with 95 %."""
    return 1 - (1 - LEVEL) / STAGES if label in twice else LEVEL


def laid_in(scores: pd.DataFrame, swaps: pd.DataFrame) -> pd.DataFrame:
    """The scores, in their order, with the swaps that further images made.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    swaps : DataFrame
        Rows of ``more_images.parquet``.
    """
    if swaps.empty:
        return scores
    names = [n for n in swaps if n in scores and n not in ("sample_id", "label")]
    there = scores["sample_id"].isin(set(swaps["sample_id"]))
    own = scores[there].drop(columns=names)
    filled = own.merge(swaps[["sample_id", *names]], on="sample_id", how="left")
    filled.index = own.index
    return pd.concat([scores[~there], filled[list(scores.columns)]]).sort_index()

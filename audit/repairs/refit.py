"""Which last layer: each way is judged on images and backgrounds that it was not fitted on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from audit.repairs.fitting import Choice, class_weights, fit
from audit.repairs.head import Linear
from audit.repairs.material import Material
from audit.repairs.quality import Quality, own_loss, quality

CHOICES = tuple(
    Choice(penalty, swap_share) for swap_share in (0.5, 0.8) for penalty in (1e-4, 1e-5, 1e-6)
)
"""For each weighting from near the old layer to far from it."""


@dataclass(frozen=True, eq=False)
class Refitted:
    """The layer that was chosen.

    Parameters
    ----------
    linear : Linear
        Fitted on all images; the old one where nothing was gained.
    choice : Choice or None
        None where nothing was gained.
    before, after : Quality
        On the same pictures of all images; after: by layers that were fitted without them.
    tried : int
        Ways.
    """

    linear: Linear
    choice: Choice | None
    before: Quality
    after: Quality
    tried: int


@dataclass(frozen=True)
class _Tried:
    choice: Choice
    quality: Quality
    loss: float
    error: float


def refit(
    old: Linear, parts: Sequence[Material], folds: pd.Series[int], max_loss: float
) -> Refitted:
    """Refit a layer in several ways, choose one by cross-validation, and fit it on all images.

    Parameters
    ----------
    old : Linear
        As it is.
    parts : sequence of Material
        Features of parts that share no image and no background.
    folds : Series of int
        By row of the list of samples, from :func:`audit.repairs.split.fold_images`.
    max_loss : float
        Accuracy that may be lost, 0..1, of originals and of objects on backgrounds of their own
        class; of a measured loss what chance explains is not counted.

    Returns
    -------
    Refitted
        Of the ways within that limit those count that are better than the old layer on the worst
        class on other backgrounds. Of those within a standard error of the best (Breiman et al.
        1984) the one is taken whose answers depend least on the background.
    """
    both = _joined(parts)
    before, tried = _tried(old, both, folds)
    able = [
        way
        for way in tried
        if _is_better(way.quality, before) and _expected(way.loss, way.error) <= max_loss + 1e-9
    ]
    if not able:
        return Refitted(old, None, before, before, len(tried))
    best = max((way.quality for way in able), key=lambda found: (found.worst, found.swapped))
    near = [way for way in able if way.quality.worst >= best.worst - best.error - 1e-9]
    chosen = min(near, key=lambda way: way.quality.gap)
    weights = class_weights(both, chosen.choice.swap_share)
    linear = fit(old, both, weights, chosen.choice.penalty)
    return Refitted(linear, chosen.choice, before, chosen.quality, len(tried))


def _is_better(found: Quality, before: Quality) -> bool:
    """Whether a layer gains on other backgrounds."""
    return (found.worst, found.swapped) > (before.worst, before.swapped)


def _expected(loss: float, error: float) -> float:
    """What is left of a measured loss without the share of its square that chance explains.

    The mean of the posterior where losses scatter around zero as much as this one says.
    """
    return loss * max(0.0, 1 - (error / loss) ** 2) if loss > 0 else loss


def _tried(old: Linear, both: Material, folds: pd.Series[int]) -> tuple[Quality, list[_Tried]]:
    """Judge the old layer and all ways, each image by layers that met neither it nor its donors."""
    objects, donors = (
        both.table[name].map(folds).fillna(-1).to_numpy() for name in ("row", "donor_row")
    )
    judges, scores = [], []
    for fold in np.unique(objects):
        apart = _some(both, (objects != fold) & (donors != fold))
        # The donor of an original is nobody.
        judge = _some(both, (objects == fold) & np.isin(donors, (fold, -1)))
        scores.append([layer.scores(judge.vectors) for layer in _layers(old, apart)])
        judges.append(judge)
    judged = _joined(judges)
    old_scores, tried = old.scores(judged.vectors), []
    for choice, parts in zip(CHOICES, zip(*scores, strict=True), strict=True):
        class_scores = torch.cat(parts)
        loss, error = own_loss(old_scores, class_scores, judged)
        tried.append(_Tried(choice, quality(class_scores, judged), loss, error))
    return quality(old_scores, judged), tried


def _layers(old: Linear, material: Material) -> Iterator[Linear]:
    """A layer each way, begun where the one before ended."""
    start = old
    for choice in CHOICES:
        weights = class_weights(material, choice.swap_share)
        start = fit(old, material, weights, choice.penalty, start)
        yield start


def _joined(parts: Sequence[Material]) -> Material:
    table = pd.concat([part.table for part in parts], ignore_index=True)
    return Material(table, torch.cat([part.vectors for part in parts]))


def _some(material: Material, chosen: NDArray[np.bool_]) -> Material:
    table = material.table[chosen].reset_index(drop=True)
    return Material(table, material.vectors[torch.from_numpy(chosen)])

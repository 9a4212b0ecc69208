"""How class scores do on originals and swaps, and what other scores lose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd
from torch import Tensor

from audit.repairs.material import Material, Picture


@dataclass(frozen=True)
class Quality:
    """How class scores do: accuracies in 0..1, NaN where there is nothing to count.

    Parameters
    ----------
    clean : float
        Of originals.
    same : float
        Of objects on backgrounds of their own class.
    swapped : float
        Of objects on backgrounds of other classes, the mean over the classes.
    worst : float
        The same of the class where it is lowest.
    worst_label : int or None
        That class; None without swaps.
    worst_images : int
        Objects of it.
    gap : float
        Mean probability of the right class on backgrounds of its own class less that on others, of
        the class where it is largest: a verdict rests on it.
    """

    clean: float
    same: float
    swapped: float
    worst: float
    worst_label: int | None
    worst_images: int
    gap: float

    @property
    def error(self) -> float:
        """Standard error of `worst`; the swaps of one object count as one."""
        return math.sqrt(self.worst * (1 - self.worst) / max(1, self.worst_images))


def quality(class_scores: Tensor, material: Material) -> Quality:
    """Measure class scores ``(n, K)`` of originals and swaps."""
    right = (class_scores.argmax(1) == material.labels).double()
    original, same, other = (material.are(picture) for picture in Picture)
    swapped = {
        label: float(right[other & (material.labels == label)].mean())
        for label in sorted(set(material.labels[other].tolist()))
    }
    worst = min(swapped, key=lambda label: swapped[label], default=None)
    table = material.table
    return Quality(
        clean=float(right[original].mean()),
        same=float(right[same].mean()),
        swapped=sum(swapped.values()) / len(swapped) if swapped else math.nan,
        worst=math.nan if worst is None else swapped[worst],
        worst_label=worst,
        worst_images=int(table.loc[table["label"] == worst, "row"].nunique()),
        gap=_largest_gap(class_scores, material),
    )


def _largest_gap(class_scores: Tensor, material: Material) -> float:
    probability = class_scores.double().softmax(1).gather(1, material.labels[:, None])[:, 0]
    means = _by_picture(material.table.assign(value=probability.numpy()), ["label", "row"])
    return float(
        (means[Picture.SWAP_SAME] - means[Picture.SWAP_OTHER]).groupby("label").mean().max()
    )


def own_loss(before: Tensor, after: Tensor, material: Material) -> tuple[float, float]:
    """What accuracy on own backgrounds is lost, and its standard error over images.

    Of an image its photograph counts as much as all its swaps onto backgrounds of the own class.

    Parameters
    ----------
    before, after : float (n, K)
        Class scores of the same pictures.
    material : Material
        The pictures.
    """
    labels = material.labels
    lost = (before.argmax(1) == labels).double() - (after.argmax(1) == labels).double()
    means = _by_picture(material.table.assign(value=lost.numpy()), ["row"])
    each = means[[Picture.ORIGINAL, Picture.SWAP_SAME]].mean(axis=1).dropna().to_numpy()
    error = each.std(ddof=1) / math.sqrt(len(each)) if len(each) > 1 else 0.0
    return float(each.mean()), float(error)


def _by_picture(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Means of the column ``value``, a row an object, a column each kind of picture."""
    means = table.pivot_table("value", keys, "picture", aggfunc="mean")
    return means.reindex(columns=[picture.value for picture in Picture])

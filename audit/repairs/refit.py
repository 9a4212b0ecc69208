"""Another last layer: near the old one, and right wherever the object stands."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from audit.repairs.head import Linear
from audit.repairs.material import Material, Picture

PENALTIES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""Weights of the squared distance from the old layer, in units of the features' mean square."""
SWAP_SHARES = (0.5, 0.8)
"""Share of the loss that swaps have; originals have the rest."""
STEPS = 60
"""Of L-BFGS, at most."""


@dataclass(frozen=True)
class Choice:
    """How a layer is refitted."""

    penalty: float
    swap_share: float


@dataclass(frozen=True)
class Quality:
    """How a layer does on one part: accuracies in 0..1, NaN where there is nothing to count.

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
    least : float
        Mean probability of the right class on backgrounds of other classes, of the class where it
        is lowest: it still tells layers apart that answer all rightly.
    least_error : float
        Its standard error, over objects.
    """

    clean: float
    same: float
    swapped: float
    worst: float
    worst_label: int | None
    worst_images: int
    least: float
    least_error: float

    @property
    def error(self) -> float:
        """Standard error of `worst`; the swaps of one object count as one."""
        return math.sqrt(self.worst * (1 - self.worst) / max(1, self.worst_images))


@dataclass(frozen=True, eq=False)
class Refitted:
    """The layer that was chosen.

    Parameters
    ----------
    linear : Linear
        The old one where nothing was gained.
    choice : Choice or None
        None where nothing was gained.
    before, after : Quality
        On the selection part.
    tried : int
        Layers.
    """

    linear: Linear
    choice: Choice | None
    before: Quality
    after: Quality
    tried: int


def quality(linear: Linear, material: Material) -> Quality:
    """Measure a layer on originals and swaps."""
    right = (linear.scores(material.vectors).argmax(1) == material.labels).double()
    original, same, other = (material.are(picture) for picture in Picture)
    swapped = {
        label: float(right[other & (material.labels == label)].mean())
        for label in sorted(set(material.labels[other].tolist()))
    }
    worst = min(swapped, key=lambda label: swapped[label], default=None)
    table = material.table
    least, least_error = _least_probability(linear, material)
    return Quality(
        clean=float(right[original].mean()),
        same=float(right[same].mean()),
        swapped=sum(swapped.values()) / len(swapped) if swapped else math.nan,
        worst=math.nan if worst is None else swapped[worst],
        worst_label=worst,
        worst_images=int(table.loc[table["label"] == worst, "row"].nunique()),
        least=least,
        least_error=least_error,
    )


def _least_probability(linear: Linear, material: Material) -> tuple[float, float]:
    """The lowest class mean of the label's probability on other backgrounds, and its error."""
    probability = linear.scores(material.vectors).double().softmax(1)
    own = probability.gather(1, material.labels[:, None])[:, 0].numpy()
    table = material.table.assign(probability=own)
    swaps = table[table["picture"] == Picture.SWAP_OTHER]
    objects = swaps.groupby(["label", "row"])["probability"].mean().groupby("label")
    if not len(objects):
        return math.nan, math.nan
    means = objects.mean().to_numpy()
    lowest = int(means.argmin())
    return float(means[lowest]), float(objects.sem().fillna(0.0).to_numpy()[lowest])


def refit(old: Linear, refitting: Material, selection: Material, max_loss: float) -> Refitted:
    """Refit a layer in several ways and choose one on other images.

    Parameters
    ----------
    old : Linear
        As it is.
    refitting, selection : Material
        Features of the two parts, which share no image and no background.
    max_loss : float
        Accuracy on the selection part that may be lost, 0..1: of originals, and of objects on
        backgrounds of their own class.

    Returns
    -------
    Refitted
        Of the layers within that limit those count that are better than the old one on the worst
        class on other backgrounds. Of those within a standard error of the best (Breiman et al.
        1984), and of these in probability likewise, the one that was drawn most towards the old
        layer is taken.
    """
    before = quality(old, selection)
    tried = [
        (choice, layer, quality(layer, selection)) for choice, layer in _layers(old, refitting)
    ]
    able = [candidate for candidate in tried if _is_better(candidate[2], before, max_loss)]
    if not able:
        return Refitted(old, None, before, before, len(tried))
    best = max((found for _, _, found in able), key=lambda found: (found.worst, found.swapped))
    near = [candidate for candidate in able if candidate[2].worst >= best.worst - best.error - 1e-9]
    surest = max((found for _, _, found in near), key=lambda found: found.least)
    near = [h for h in near if h[2].least >= surest.least - surest.least_error - 1e-9]
    choice, layer, found = max(
        near, key=lambda candidate: (candidate[0].penalty, candidate[2].least)
    )
    return Refitted(layer, choice, before, found, len(tried))


def _is_better(quality: Quality, before: Quality, max_loss: float) -> bool:
    """Whether a layer gains on other backgrounds, and loses no more than it may elsewhere."""
    gains = quality.worst > before.worst or (
        quality.worst == before.worst and quality.swapped > before.swapped
    )
    # Without swaps of the same class there is nothing to lose: NaN is no loss.
    lost = [before.clean - quality.clean, before.same - quality.same]
    return gains and not any(value > max_loss + 1e-9 for value in lost)


def _layers(old: Linear, material: Material) -> Iterator[tuple[Choice, Linear]]:
    """Layers by all choices, for each weighting from the nearest to the old one to the farthest."""
    for share in SWAP_SHARES:
        weights = _weights(material, share)
        start = old
        for penalty in PENALTIES:
            start = fit(old, material, weights, penalty, start)
            yield Choice(penalty, share), start


def _weights(material: Material, swap_share: float) -> Tensor:
    """Weights of the pictures, float64 ``(n,)`` of sum 1, equal sums for all classes."""
    labels, other = material.labels, material.are(Picture.SWAP_OTHER)
    weights = torch.zeros(len(labels), dtype=torch.float64)
    for label in set(labels.tolist()):
        for kind, share in ((other, swap_share), (~other, 1 - swap_share)):
            chosen = kind & (labels == label)
            weights[chosen] = share / max(1, int(chosen.sum()))
    return weights / weights.sum()


def fit(
    old: Linear, material: Material, weights: Tensor, penalty: float, start: Linear | None = None
) -> Linear:
    """Minimise weighted cross-entropy plus the squared distance from the old layer, by L-BFGS.

    Parameters
    ----------
    old : Linear
        Towards which it is drawn.
    material : Material
        Features and labels.
    weights : float (n,)
        Of the pictures, of sum 1.
    penalty : float
        > 0; in units of the features' mean square, so that it means the same for every network.
    start : Linear, optional
        Where to begin; None: at `old`. The minimum is the same, the loss is convex.
    """
    features, labels = material.vectors.double(), material.labels
    scale = features.square().sum(1).mean().sqrt().clamp_min(1e-12)
    inputs = torch.cat([features / scale, torch.ones(len(features), 1, dtype=torch.float64)], 1)
    old_scores = old.scores(features)
    delta = torch.zeros(len(old.weight), inputs.shape[1], dtype=torch.float64)
    if start is not None:
        delta[:, :-1] = (start.weight - old.weight).double() * scale
        delta[:, -1] = (start.bias - old.bias).double()
    delta.requires_grad_(True)
    optimiser = torch.optim.LBFGS([delta], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        each = F.cross_entropy(old_scores + inputs @ delta.T, labels, reduction="none")
        value = (weights * each).sum() + penalty * delta.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimiser.step(loss)  # type: ignore[no-untyped-call]
    found = delta.detach()
    weight = old.weight.double() + found[:, :-1] / scale
    return Linear(weight.float(), (old.bias.double() + found[:, -1]).float())

"""A last layer near the old one, and right wherever the object stands."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from audit.repairs.head import Linear
from audit.repairs.material import Material, Picture

STEPS = 60
"""Of L-BFGS, at most."""


@dataclass(frozen=True)
class Choice:
    """How a layer is refitted.

    Parameters
    ----------
    penalty : float
        > 0; weight of the squared distance from the old layer, in units of the features' mean
        square, so that it means the same for every network.
    swap_share : float
        Share of the loss that objects on backgrounds of other classes have, 0..1; photographs and
        objects on backgrounds of their own class have the rest.
    """

    penalty: float
    swap_share: float


def fit(
    old: Linear, material: Material, weights: Tensor, penalty: float, start: Linear | None = None
) -> Linear:
    """Minimise weighted cross-entropy plus the squared distance from the old layer, by L-BFGS.

    Classes without pictures keep their weights to the last bit: nothing here could say whether they
    became better. Of them cross-entropy needs one sum a picture, so a layer of 1,000 classes of
    which twenty are audited costs as much as one of twenty.

    Parameters
    ----------
    old : Linear
        Towards which it is drawn.
    material : Material
        Features and labels.
    weights : float (n,)
        Of the pictures, of sum 1.
    penalty : float
        As of :class:`Choice`.
    start : Linear, optional
        Where to begin; None: at `old`. The minimum is the same, the loss is convex.
    """
    features, labels = material.vectors.double(), material.labels
    scale = features.square().sum(1).mean().sqrt().clamp_min(1e-12)
    inputs = torch.cat([features / scale, torch.ones(len(features), 1, dtype=torch.float64)], 1)
    refitted, targets = torch.unique(labels, return_inverse=True)
    old_scores, others = _parted(old.scores(features), refitted)
    delta = torch.zeros(len(refitted), inputs.shape[1], dtype=torch.float64)
    if start is not None:
        delta[:, :-1] = (start.weight - old.weight)[refitted].double() * scale
        delta[:, -1] = (start.bias - old.bias)[refitted].double()
    delta.requires_grad_(True)
    optimiser = torch.optim.LBFGS([delta], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        scores = torch.cat([old_scores + inputs @ delta.T, others], 1)
        each = F.cross_entropy(scores, targets, reduction="none")
        value = (weights * each).sum() + penalty * delta.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimiser.step(loss)  # type: ignore[no-untyped-call]
    found = delta.detach()
    weight, bias = (held.to(torch.float64, copy=True) for held in (old.weight, old.bias))
    weight[refitted] += found[:, :-1] / scale
    bias[refitted] += found[:, -1]
    return Linear(weight.float(), bias.float())


def _parted(scores: Tensor, refitted: Tensor) -> tuple[Tensor, Tensor]:
    """Scores ``(n, R)`` of some classes, and all others as one score, ``(n, 0..1)``."""
    kept = torch.ones(scores.shape[1], dtype=torch.bool)
    kept[refitted] = False
    others = scores[:, kept].logsumexp(1, keepdim=True) if kept.any() else scores[:, :0]
    return scores[:, refitted], others


def class_weights(material: Material, swap_share: float) -> Tensor:
    """Weights of the pictures, float64 ``(n,)`` of sum 1, equal sums for all classes."""
    labels, other = material.labels, material.are(Picture.SWAP_OTHER)
    weights = torch.zeros(len(labels), dtype=torch.float64)
    for label in set(labels.tolist()):
        for kind, share in ((other, swap_share), (~other, 1 - swap_share)):
            chosen = kind & (labels == label)
            weights[chosen] = share / max(1, int(chosen.sum()))
    return weights / weights.sum()

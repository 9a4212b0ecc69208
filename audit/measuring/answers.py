"""What class scores say of the targets."""

from __future__ import annotations

import torch
from torch import Tensor


def margins(scores: Tensor, targets: Tensor, excluded: Tensor | None = None) -> Tensor:
    """Class score of the target minus the best other class score.

    Parameters
    ----------
    scores : float (N, K)
        Class scores (logits).
    targets : int64 (N,)
        The class that is asked about.
    excluded : int64 (N,), optional
        One further class that is no rival; where it equals the target nothing is left out.

    Returns
    -------
    float (N,)
        Positive where the target wins; NaN where it has no rival.
    """
    own = scores.gather(1, targets[:, None]).squeeze(1)
    rivals = scores.scatter(1, targets[:, None], -torch.inf)
    if excluded is not None:
        rivals = rivals.scatter(1, excluded[:, None], -torch.inf)
    best = rivals.amax(1)
    return torch.where(best == -torch.inf, torch.nan, own - best)


def answers(scores: Tensor, targets: Tensor, excluded: Tensor | None = None) -> dict[str, Tensor]:
    """What a batch of class scores says of the targets, each (N,) on their device."""
    probabilities = scores.double().softmax(1)
    confidence, prediction = probabilities.max(1)
    found = {
        "prediction": prediction,
        "confidence": confidence,
        "probability": probabilities.gather(1, targets[:, None]).squeeze(1),
        "margin": margins(scores.double(), targets),
    }
    if excluded is not None:
        found["own_margin"] = margins(scores.double(), targets, excluded)
        found["donor_probability"] = probabilities.gather(1, excluded[:, None]).squeeze(1)
    return found

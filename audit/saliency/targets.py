"""Which number a map explains: the class score, that of the predicted class, or a contrast."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from audit.errors import ModelError
from audit.saliency.microbatches import class_scores

TargetFunction = Callable[[nn.Module, Tensor, Tensor], tuple[nn.Module, Tensor, Tensor | None]]
"""Of model, images and labels to the model that is explained, the class of each image that is, and
the model's class scores where they had to be known."""


class Contrast(nn.Module):
    """A classifier whose output k is the class score of k minus the best other class score.

    Methods need not know of it: they differentiate output k as always.

    Parameters
    ----------
    model : nn.Module
        From images to class scores ``(N, K)``, K >= 2. It stays as it is.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        # Not self.train(...): that would reach into the model and change its layers.
        self.training = model.training

    def forward(self, images: Tensor) -> Tensor:
        """Margins ``(N, K)`` of images ``(N, 3, H, W)``."""
        scores: Tensor = self.model(images)
        if scores.shape[1] < 2:
            raise ModelError(
                "saliency.target: a contrast needs two classes, the model has one. Write logit."
            )
        best = scores.topk(2, dim=1)
        classes = torch.arange(scores.shape[1], device=scores.device)
        is_best = classes[None] == best.indices[:, :1]
        return scores - torch.where(is_best, best.values[:, 1:], best.values[:, :1])


class Against(nn.Module):
    """A classifier whose output k is the class score of k minus that of one given class.

    Parameters
    ----------
    model : nn.Module
        From images to class scores ``(N, K)``. It stays as it is.
    other : int
        The class that is spoken against.
    """

    def __init__(self, model: nn.Module, other: int) -> None:
        super().__init__()
        self.model = model
        self.other = other
        self.training = model.training

    def forward(self, images: Tensor) -> Tensor:
        """Differences ``(N, K)`` of images ``(N, 3, H, W)``."""
        scores: Tensor = self.model(images)
        return scores - scores[:, self.other : self.other + 1]


def _logit(
    model: nn.Module, images: Tensor, targets: Tensor
) -> tuple[nn.Module, Tensor, Tensor | None]:
    return model, targets, None


def _predicted(
    model: nn.Module, images: Tensor, targets: Tensor
) -> tuple[nn.Module, Tensor, Tensor | None]:
    scores = class_scores(model, images)
    return model, scores.argmax(1), scores


def _contrast(
    model: nn.Module, images: Tensor, targets: Tensor
) -> tuple[nn.Module, Tensor, Tensor | None]:
    return Contrast(model), targets, None


TARGETS: Mapping[str, TargetFunction] = {
    "logit": _logit,
    "predicted": _predicted,
    "contrast": _contrast,
}


def derivative(scores: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
    """Differentiate each image's own class score; no parameter receives a gradient.

    Parameters
    ----------
    scores : float (N, K)
        What the model made of `inputs`.
    targets : int64 (N,)
        The class of each row.
    inputs : float (N, ...)
        A tensor that `scores` were computed from.

    Returns
    -------
    float (N, ...)
        ``d scores[i, targets[i]] / d inputs[i]``; the sum over rows mixes nothing, because a
        model in eval mode treats each image by itself.

    Raises
    ------
    ModelError
        The scores do not depend on `inputs` in a differentiable way.
    """
    own = scores.gather(1, targets.clone()[:, None]).sum()
    slope = None
    if own.requires_grad:
        (slope,) = torch.autograd.grad(own, inputs, allow_unused=True)
    if slope is None:
        raise ModelError(
            "saliency.method: the class score has no gradient with respect to the "
            f"{tuple(inputs.shape[1:])} input or layer. Where a network cannot be differentiated "
            "use saliency.method: occlusion; for a class activation map name another layer."
        )
    return slope

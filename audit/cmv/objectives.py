"""What may be climbed: functions of the class scores, and how alike pictures of one class are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audit.errors import ModelError
from audit.saliency.hooks import record_calls
from audit.saliency.layers import find_layer

Objective = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Of scores ``(B, K)``, labels ``(B,)`` and rivals ``(B,)``, -1 for none, to values ``(B,)``."""

VARIANTS = 4
"""Pictures of one class that ``diversity`` makes."""
_APART = 20.0
"""What the alikeness of two pictures, 0..1, costs in units of the class score."""


def _logit(scores: Tensor, labels: Tensor, _rivals: Tensor) -> Tensor:
    return scores.gather(1, labels[:, None])[:, 0]


def _log_posterior(scores: Tensor, labels: Tensor, _rivals: Tensor) -> Tensor:
    return scores.log_softmax(1).gather(1, labels[:, None])[:, 0]


def _contrast(scores: Tensor, labels: Tensor, rivals: Tensor) -> Tensor:
    own = scores.gather(1, labels[:, None])
    named = scores.gather(1, rivals.clamp_min(0)[:, None])
    typical = (scores.sum(1, keepdim=True) - own) / max(1, scores.shape[1] - 1)
    return (own - torch.where(rivals[:, None] >= 0, named, typical))[:, 0]


# ``softmax`` is the logarithm of the posterior: it has the same maxima, but the posterior itself
# is flat where the class is improbable. Simonyan et al. 2013 prefer the class score because the
# posterior also grows by making all other classes less likely. ``contrast`` is the class score
# less that of the rival, or less the mean of all others where none is named: the best of the
# others changes from step to step, and on 1,000 classes the ascent then gets nowhere.
OBJECTIVES: Mapping[str, Objective] = {
    "logit": _logit,
    "softmax": _log_posterior,
    "contrast": _contrast,
    "diversity": _logit,
}


def pictures_each(objective: str) -> int:
    """How many pictures of a class an objective makes together."""
    return VARIANTS if objective == "diversity" else 1


Penalty = Callable[[Tensor], Tensor]


@contextmanager
def alikeness(model: nn.Module, example: Tensor, each: int) -> Iterator[Penalty]:
    """Open a measure of how alike the pictures of one class are; no hook outlives the block.

    Olah, Mordvintsev and Schubert 2017, "Feature visualization": the cosine between the Gram
    matrices of a layer, here the last of at least 8x8 places. Where the network has
    none, the coarse pictures themselves are compared.

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores; nobody else's, since a hook is set on it.
    example : float32 (1, 3, H, W)
        Sent through once to find the layer.
    each : int
        Pictures of a class, which follow each other in a batch.

    Yields
    ------
    callable
        From what the model has just seen ``(B, 3, H, W)`` to one number: twenty times the mean
        cosine over the pairs of a class, summed over all pictures. 0 where `each` is 1.
    """
    if each == 1:
        yield lambda images: images.new_zeros(())
        return
    try:
        # Textures differ before the last stage; at the end all pictures of a class agree.
        found = find_layer(model, example, None, smallest=8)
    except ModelError:
        yield lambda images: _alikeness(F.adaptive_avg_pool2d(images, 8), each)
        return
    here = threading.get_ident()

    def keep(_name: str, _inputs: object, output: Tensor) -> Tensor | None:
        # Where climbs share layers, each is told of the passes of all.
        return output if threading.get_ident() == here else None

    with record_calls({found.name: found.module}, keep) as calls:

        def penalty(_images: Tensor) -> Tensor:
            output = calls.take_last()
            if output is None:
                raise ModelError(f"cmv.objectives: diversity: {found.name!r} was not reached")
            return _alikeness(found.grid.maps(output), each)

        yield penalty


def _alikeness(maps: Tensor, each: int) -> Tensor:
    """Of maps ``(B, C, H, W)``: the cost of how alike those of a class are."""
    flat = maps.flatten(2).float()
    gram = (flat @ flat.transpose(1, 2)).flatten(1)
    groups = F.normalize(gram, dim=1).view(-1, each, gram.shape[1])
    cosines = groups @ groups.transpose(1, 2)
    pairs = cosines.triu(1).sum((1, 2)) / (each * (each - 1) / 2)
    return _APART * each * pairs.sum()

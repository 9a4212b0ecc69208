"""Methods that turn images into maps, each a pure function.

A method has the shape ``(model, images, targets, *, seeds, **options) -> maps``: images
``(N, 3, H, W)`` in 0..1, targets ``(N,)`` int64, one seed per image; maps ``(N, H, W)`` float32,
>= 0, of any scale. A map may be blank. Values that are not finite are left as they are, so that
scoring can name them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import Tensor, nn

from audit.errors import ManifestError
from audit.plugins import resolve
from audit.saliency.cams import (
    gradcam,
    gradcam_and_scores,
    layercam,
    layercam_and_scores,
)
from audit.saliency.gradients import (
    gradient,
    gradient_and_scores,
    integrated_gradients,
    smoothgrad,
)
from audit.saliency.occlusion import occlusion
from audit.saliency.pieces import PIECE, class_scores, in_pieces
from audit.saliency.targets import TARGETS, Against, Contrast

__all__ = [
    "METHODS",
    "ONE_PASS",
    "PIECE",
    "TARGETS",
    "Against",
    "Contrast",
    "class_scores",
    "explain",
    "explain_and_answer",
    "in_pieces",
]

METHODS: Mapping[str, Callable[..., Tensor]] = {
    "gradient": gradient,
    "smoothgrad": smoothgrad,
    "integrated_gradients": integrated_gradients,
    "gradcam": gradcam,
    "layercam": layercam,
    "occlusion": occlusion,
}
ONE_PASS: Mapping[Callable[..., Tensor], Callable[..., tuple[Tensor, Tensor]]] = {
    gradient: gradient_and_scores,
    gradcam: gradcam_and_scores,
    layercam: layercam_and_scores,
}
"""Methods that send the image itself through the model once: its class scores come with the map."""


def explain(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    method: Callable[..., Tensor],
    seeds: Sequence[int],
    target: str = "logit",
) -> tuple[Tensor, Tensor]:
    """Make the maps of a batch.

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores, in eval mode.
    images : float (N, 3, H, W)
        In 0..1.
    targets : int64 (N,)
        The labels.
    method : callable
        A value of :data:`METHODS` or a function of the user's, its options already bound.
    seeds : sequence of N int
        One per image, from the run's seed and the sample's id.
    target : str
        ``logit``: the label's class score; ``predicted``: that of the class with the highest
        score; ``contrast``: the label's class score minus the best other one.

    Returns
    -------
    maps : float32 (N, H, W)
        >= 0, or not finite where the network's derivatives are not.
    explained : int64 (N,)
        The class that each map explains.

    Raises
    ------
    ManifestError
        Unknown target, or a method that returns something else than maps.
    ModelError
        The method does not fit the model.
    """
    if len(seeds) != len(images):
        raise ValueError(f"expected a seed per image, found {len(seeds)} for {len(images)}")
    prepare = resolve(target, TARGETS, key="saliency.target")
    explained_model, explained = prepare(model, images, targets)
    maps = method(explained_model, images, explained, seeds=seeds)
    expected = (len(images), *images.shape[2:])
    if not isinstance(maps, Tensor) or tuple(maps.shape) != expected:
        found = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise ManifestError(f"saliency.method: expected maps of shape {expected}, found {found}")
    if bool((maps < 0).any()):
        raise ManifestError(
            "saliency.method: expected maps >= 0, found negative values. Return the positive "
            "part or the absolute value: which one is for the method to say."
        )
    return maps.detach().float(), explained


def explain_and_answer(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    method: Callable[..., Tensor],
    seeds: Sequence[int],
    target: str = "logit",
) -> tuple[Tensor, Tensor]:
    """Make the maps of a batch and the model's answers, in one pass where the method makes one.

    Parameters
    ----------
    model, images, targets, method, seeds, target
        As for :func:`explain`.

    Returns
    -------
    maps : float32 (N, H, W)
        As of :func:`explain`.
    scores : float32 (N, K)
        As of :func:`class_scores`.

    Raises
    ------
    ManifestError, ModelError
        As :func:`explain`.
    """
    bound = method if isinstance(method, partial) else partial(method)
    if target == "logit" and not bound.args and bound.func in ONE_PASS:
        return ONE_PASS[bound.func](model, images, targets, seeds=seeds, **bound.keywords)
    scores = class_scores(model, images)
    maps, _ = explain(model, images, targets, method=method, seeds=seeds, target=target)
    return maps, scores

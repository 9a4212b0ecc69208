"""Methods that turn images into maps, each a pure function.

A method has the shape ``(model, images, targets, *, seeds, **options) -> maps``: images
``(N, 3, H, W)`` in 0..1, targets ``(N,)`` int64, one seed per image; maps ``(N, H, W)`` float32,
>= 0, of any scale. A map may be blank. Values that are not finite are left as they are, so that
scoring can name them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from audit.errors import ManifestError
from audit.plugins import resolve
from audit.saliency.cams import gradcam, layercam
from audit.saliency.gradients import gradient, integrated_gradients, smoothgrad
from audit.saliency.occlusion import occlusion
from audit.saliency.pieces import class_scores, in_pieces
from audit.saliency.targets import TARGETS, Against, Contrast

__all__ = ["METHODS", "TARGETS", "Against", "Contrast", "class_scores", "explain", "in_pieces"]

METHODS: Mapping[str, Callable[..., Tensor]] = {
    "gradient": gradient,
    "smoothgrad": smoothgrad,
    "integrated_gradients": integrated_gradients,
    "gradcam": gradcam,
    "layercam": layercam,
    "occlusion": occlusion,
}


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

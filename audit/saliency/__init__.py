"""Methods that turn images into maps, each a pure function.

A method has the shape ``(model, images, targets, *, seeds, **options) -> (maps, scores | None)``:
images ``(N, 3, H, W)`` in 0..1, targets ``(N,)`` int64, one seed per image; maps ``(N, H, W)``
float32, >= 0, of any scale; scores ``(N, K)`` of the images themselves, where the pass that made
the maps gave them anyway. A map may be blank. Values that are not finite are left as they are, so
that scoring can name them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from audit.errors import ManifestError
from audit.models.layout import MICROBATCH
from audit.models.rounding import tf32
from audit.plugins import resolve
from audit.saliency.attention import gradient_rollout
from audit.saliency.cams import gradcam, gradcam_plus_plus, hirescam, layercam
from audit.saliency.contributions import gradient_x_input, integrated_gradients
from audit.saliency.gradients import gradient, smoothgrad
from audit.saliency.guided import guided_backprop
from audit.saliency.microbatches import Microbatches, class_scores, engine_in
from audit.saliency.occlusion import occlusion, rise
from audit.saliency.targets import TARGETS, Against, Contrast

__all__ = [
    "METHODS",
    "MICROBATCH",
    "TARGETS",
    "Against",
    "Contrast",
    "Explanation",
    "Microbatches",
    "class_scores",
    "explain",
]

METHODS: Mapping[str, Callable[..., tuple[Tensor, Tensor | None]]] = {
    "gradient": gradient,
    "gradient_x_input": gradient_x_input,
    "smoothgrad": smoothgrad,
    "integrated_gradients": integrated_gradients,
    "guided_backprop": guided_backprop,
    "gradcam": gradcam,
    "gradcam_plus_plus": gradcam_plus_plus,
    "hirescam": hirescam,
    "layercam": layercam,
    "gradient_rollout": gradient_rollout,
    "occlusion": occlusion,
    "rise": rise,
}


@dataclass(frozen=True, eq=False)
class Explanation:
    """The maps of a batch, and what was found on the way.

    Parameters
    ----------
    maps : float32 (N, H, W)
        >= 0, or not finite where the network's derivatives are not.
    targets : int64 (N,)
        The class that each map explains.
    scores : float32 (N, K) or None
        The model's class scores, where a pass for the maps gave them: see :func:`class_scores`.
    """

    maps: Tensor
    targets: Tensor
    scores: Tensor | None


def explain(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    method: Callable[..., Any],
    seeds: Sequence[int],
    target: str = "logit",
) -> Explanation:
    """Make the maps of a batch.

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores, in eval mode; best an
        :class:`~audit.models.engine.Engine`, which is not tried anew each time.
    images : float (N, 3, H, W)
        In 0..1.
    targets : int64 (N,)
        The labels.
    method : callable
        A value of :data:`METHODS` or a function of the user's, its options already bound. It may
        return maps alone.
    seeds : sequence of N int
        One per image, from the run's seed and the sample's id.
    target : str
        ``logit``: the label's class score; ``predicted``: that of the class with the highest
        score; ``contrast``: the label's class score minus the best other one.

    Returns
    -------
    Explanation
        Maps, explained classes, and class scores where they cost nothing more.

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
    engine = engine_in(model)
    with tf32(engine is not None and engine.rounding.maps, images.device):
        explained, classes, known = prepare(model, images, targets)
        returned = method(explained, images, classes, seeds=seeds)
    maps, scores = returned if _is_pair(returned) else (returned, None)
    if _is_foreign(method):
        _check_maps(maps, (len(images), *images.shape[2:]))
        _check_scores(scores, len(images))
    # What was asked about margins are no class scores.
    scores = scores if known is None and explained is model else known
    return Explanation(
        maps.detach().float(), classes, None if scores is None else scores.detach().float()
    )


def _is_pair(returned: Any) -> bool:
    return isinstance(returned, tuple) and len(returned) == 2


def _is_foreign(method: Callable[..., Any]) -> bool:
    """Whether what a method returns must be looked at, for which a GPU has to be waited for."""
    function = method.func if isinstance(method, partial) else method
    return function not in METHODS.values()


def _check_maps(maps: Any, expected: tuple[int, ...]) -> None:
    if not isinstance(maps, Tensor) or tuple(maps.shape) != expected:
        found = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise ManifestError(f"saliency.method: expected maps of shape {expected}, found {found}")
    if bool((maps < 0).any()):
        raise ManifestError(
            "saliency.method: expected maps >= 0, found negative values. Return the positive "
            "part or the absolute value: which one is for the method to say."
        )


def _check_scores(scores: Any, count: int) -> None:
    if scores is None:
        return
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != count:
        found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ManifestError(
            f"saliency.method: expected class scores ({count}, K) or None beside the maps, "
            f"found {found}"
        )

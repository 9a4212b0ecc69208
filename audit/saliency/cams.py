"""Class activation maps: how much the channels of one layer speak for a class, and where."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audit.errors import ModelError
from audit.models.layout import MICROBATCH
from audit.saliency.layers import Layer, find_layer
from audit.saliency.pieces import apart, in_pieces, with_scores
from audit.saliency.targets import derivative

_Combine = Callable[[Tensor, Tensor], Tensor]


def gradcam(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    seeds: Sequence[int],
    layer: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Channels weighted by their mean derivative, positive part.

    Selvaraju et al. 2017, "Grad-CAM: visual explanations from deep networks".

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores.
    images : float (N, 3, H, W)
        In 0..1.
    targets : int64 (N,)
        The classes that are explained.
    seeds : sequence of N int
        Unused: nothing is drawn.
    layer : str, optional
        Dotted name within the network; else the model's own ``target_layer``; else the last
        layer that still has places (see :func:`audit.saliency.layers.find_layer`).

    Returns
    -------
    maps : float32 (N, H, W)
        Layer resolution, enlarged bilinearly; >= 0.
    scores : float32 (N, K)
        Class scores of the same pass.

    Raises
    ------
    ModelError
        No such layer, or none with a grid of places.
    """

    def combine(features: Tensor, slopes: Tensor) -> Tensor:
        return (slopes.mean((2, 3), keepdim=True) * features).sum(1)

    return _cam(model, images, targets, seeds, layer, combine)


def layercam(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    seeds: Sequence[int],
    layer: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Features weighted by their own positive derivative, place by place.

    Jiang et al. 2021, "LayerCAM: exploring hierarchical class activation maps".

    Parameters
    ----------
    model, images, targets, seeds, layer
        As for :func:`gradcam`.

    Returns
    -------
    maps : float32 (N, H, W)
        Layer resolution, enlarged bilinearly; >= 0.
    scores : float32 (N, K)
        Class scores of the same pass.

    Raises
    ------
    ModelError
        No such layer, or none with a grid of places.
    """

    def combine(features: Tensor, slopes: Tensor) -> Tensor:
        return (slopes.clamp_min(0) * features).sum(1)

    return _cam(model, images, targets, seeds, layer, combine)


def _cam(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    seeds: Sequence[int],
    layer: str | None,
    combine: _Combine,
) -> tuple[Tensor, Tensor]:
    if len(images) == 0:
        return images.new_zeros((0, *images.shape[2:]), dtype=torch.float32), images.new_zeros(0, 0)
    found = find_layer(model, images, layer)

    with _capture(found) as captured:

        def piece(x: Tensor, t: Tensor, _seeds: Sequence[int]) -> Tensor:
            features, slopes, scores = _features_and_slopes(model, found, captured, x, t)
            cam = combine(features.float(), slopes.float()).clamp_min(0)[:, None]
            large = F.interpolate(cam, size=x.shape[2:], mode="bilinear", align_corners=False)
            return with_scores(large[:, 0], scores)

        rows = in_pieces(piece, images, targets, seeds, model=model, piece=MICROBATCH)
        return apart(rows, images)


class _Captured(threading.local):
    """What the layer put out in this thread, the last at the end; images pass side by side."""

    def __init__(self) -> None:
        self.features: list[Tensor] = []


def _features_and_slopes(
    model: nn.Module, layer: Layer, captured: _Captured, images: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.inference_mode(False), torch.enable_grad():
        captured.features.clear()
        scores = model(images.detach().clone())
        if not captured.features:
            raise ModelError(f"saliency.options.layer: the network never calls {layer.name!r}")
        features = captured.features[-1]
        captured.features.clear()
        slopes = derivative(scores, targets, features)
        maps = layer.grid.maps
        return maps(features.detach()), maps(slopes), scores.detach()


@contextmanager
def _capture(layer: Layer) -> Iterator[_Captured]:
    """Collect what `layer` puts out, as the place where differentiation begins."""
    captured = _Captured()

    def hook(_module: nn.Module, _inputs: object, output: object) -> Tensor:
        if not isinstance(output, Tensor) or not layer.grid.fits(output):
            found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ModelError(
                f"saliency.options.layer: {layer.name!r} puts out {found}, expected {layer.grid}"
            )
        # Nothing below the layer is wanted, so the graph begins here.
        features = output.detach().requires_grad_(True)
        captured.features.append(features)
        # A copy goes on: an in-place ReLU behind the layer would spoil what was captured.
        return features.clone()

    handle = layer.module.register_forward_hook(hook)
    try:
        yield captured
    finally:
        handle.remove()

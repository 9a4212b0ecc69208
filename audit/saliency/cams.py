"""Class activation maps: how much the channels of one layer speak for a class, and where."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audit.errors import ModelError
from audit.models.layout import MICROBATCH
from audit.saliency.hooks import Recording, record_calls
from audit.saliency.layers import Layer, find_layer
from audit.saliency.microbatches import Microbatches
from audit.saliency.targets import derivative

_Combine = Callable[[Tensor, Tensor], Tensor]


def gradcam(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    seeds: Sequence[int],
    layer: str | Layer | None = None,
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
    layer : str or Layer, optional
        Dotted name within the network, or what was found before; else the model's own
        ``target_layer``; else the last layer that still has places (see
        :func:`audit.saliency.layers.find_layer`).

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
    layer: str | Layer | None = None,
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


def hirescam(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    seeds: Sequence[int],
    layer: str | Layer | None = None,
) -> tuple[Tensor, Tensor]:
    """Features times their own derivative, place by place, summed over the channels; positive part.

    Draelos and Carin 2020, "Use HiResCAM instead of Grad-CAM for faithful explanations of
    convolutional neural networks". Where the layer is averaged and read linearly it is Grad-CAM.

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
        return (slopes * features).sum(1)

    return _cam(model, images, targets, seeds, layer, combine)


def gradcam_plus_plus(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    seeds: Sequence[int],
    layer: str | Layer | None = None,
) -> tuple[Tensor, Tensor]:
    """Channels weighted by their positive derivatives, each place as far as it counts alone.

    Chattopadhyay, Sarkar, Howlader and Balasubramanian 2018, "Grad-CAM++: generalized
    gradient-based visual explanations". With ``A`` the features and ``g`` the derivatives of the
    class score, place ``p`` of a channel weighs ``g ** 2 / (2 * g ** 2 + A.sum() * g ** 3)``, the
    sum over all places of the channel: the closed form for the exponential of the class score.

    Parameters
    ----------
    model, images, targets, seeds, layer
        As for :func:`gradcam`.

    Returns
    -------
    maps : float32 (N, H, W)
        Layer resolution, enlarged bilinearly; >= 0. No multiple of the class score: twice the
        score is another map.
    scores : float32 (N, K)
        Class scores of the same pass.

    Raises
    ------
    ModelError
        No such layer, or none with a grid of places.
    """

    def combine(features: Tensor, slopes: Tensor) -> Tensor:
        # Both sides of the fraction are divided by g ** 2, which is too small for float32.
        below = 2 + features.sum((2, 3), keepdim=True) * slopes
        shares = torch.where((slopes == 0) | (below == 0), 0, 1 / below)
        weights = (shares * slopes.clamp_min(0)).sum((2, 3), keepdim=True)
        return (weights * features).sum(1)

    return _cam(model, images, targets, seeds, layer, combine)


def _cam(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    seeds: Sequence[int],
    layer: str | Layer | None,
    combine: _Combine,
) -> tuple[Tensor, Tensor]:
    if len(images) == 0:
        return images.new_zeros((0, *images.shape[2:]), dtype=torch.float32), images.new_zeros(0, 0)
    found = find_layer(model, images, layer)
    batches = Microbatches(images, targets, seeds, model=model, size=MICROBATCH)

    def keep(_name: str, _inputs: object, output: object) -> Tensor:
        if not isinstance(output, Tensor) or not found.grid.fits(output):
            form = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ModelError(
                f"saliency.options.layer: {found.name!r} puts out {form}, expected {found.grid}"
            )
        # Nothing below the layer is wanted, so the graph begins here.
        return output.detach().requires_grad_(True)

    # A copy goes on: an in-place ReLU behind the layer would spoil what was kept.
    with record_calls({found.name: found.module}, keep, Tensor.clone) as recording:

        def explain(x: Tensor, t: Tensor, _seeds: Sequence[int]) -> tuple[Tensor, ...]:
            features, slopes, scores = _features_and_slopes(model, found, recording, x, t)
            cam = combine(features.float(), slopes.float()).clamp_min(0)[:, None]
            large = F.interpolate(cam, size=x.shape[2:], mode="bilinear", align_corners=False)
            return large[:, 0], scores.float()

        maps, scores = batches.map(explain)
    return maps, scores


def _features_and_slopes(
    model: nn.Module, layer: Layer, recording: Recording[Tensor], images: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Maps of the layer, their derivatives, and the class scores of the pass."""
    with torch.inference_mode(False), torch.enable_grad():
        scores = model(images.detach().clone())
        features = recording.take_last()
        if features is None:
            raise ModelError(
                f"saliency.options.layer: the network never calls {layer.name!r}. Name another, or "
                "leave it out."
            )
        slopes = derivative(scores, targets, features)
        maps = layer.grid.maps
        return maps(features.detach()), maps(slopes), scores.detach()

"""Maps from what each pixel contributes to the class score: signed, and their sums are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audit.errors import ManifestError
from audit.models.layout import MICROBATCH
from audit.saliency.gradients import MOST_PASSES, mean_gradient, pixel_gradient
from audit.saliency.microbatches import Microbatches, class_scores


def gradient_x_input(
    model: nn.Module, images: Tensor, targets: Tensor, *, seeds: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Absolute product of each pixel and its derivative, summed over the colour channels.

    Shrikumar, Greenside, Shcherbina and Kundaje 2016, "Not just a black box: learning important
    features through propagating activation differences". Pixels are those in 0..1, before the
    model's normalisation, so that black contributes nothing.

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

    Returns
    -------
    maps : float32 (N, H, W)
        Class score, >= 0: the channels' products are summed, then the sign is dropped.
    scores : float32 (N, K)
        Class scores of the same pass.
    """

    def explain(x: Tensor, t: Tensor, _seeds: Sequence[int]) -> tuple[Tensor, ...]:
        slopes, scores = pixel_gradient(model, x, t)
        return products(x, slopes).sum(1).abs(), scores.float()

    batches = Microbatches(images, targets, seeds, model=model, size=MICROBATCH)
    maps, scores = batches.map(explain)
    return maps, scores


def products(images: Tensor, slopes: Tensor) -> Tensor:
    """Pixels times their derivatives, signed, float32 ``(N, 3, H, W)``.

    Of a linear model they sum to the class score less its bias.
    """
    return (images * slopes).float()


def integrated_gradients(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    seeds: Sequence[int],
    steps: int = 32,
    baseline: str = "mean",
) -> tuple[Tensor, None]:
    """Absolute share of each pixel in what the image adds to the class score of a baseline.

    Sundararajan, Taly and Yan 2017, "Axiomatic attribution for deep networks".

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
    steps : int
        Points on the way from baseline to image, 1 to 1024.
    baseline : str
        ``mean``: the image's own mean colour; ``black``, ``white``; ``blur``: the image's coarse
        colours. The default is ``mean`` because a pixel that equals the baseline gets nothing:
        from black, a black dog would be invisible; few pixels have exactly the mean colour.

    Returns
    -------
    maps : float32 (N, H, W)
        Class score, >= 0: the channels' contributions are summed, then the sign is dropped.
    scores : None
        The image itself is not asked about.

    Raises
    ------
    ManifestError
        An option is out of range.
    """

    def explain(x: Tensor, t: Tensor, _seeds: Sequence[int]) -> tuple[Tensor, ...]:
        return (contributions(model, x, t, steps=steps, baseline=baseline).sum(1).abs(),)

    (maps,) = Microbatches(images, targets, seeds, model=model).map(explain)
    return maps, None


def contributions(
    model: nn.Module, images: Tensor, targets: Tensor, *, steps: int = 32, baseline: str = "mean"
) -> Tensor:
    """Signed integrated gradients, channel by channel, by the midpoint rule.

    Parameters
    ----------
    model, images, targets, steps, baseline
        As for :func:`integrated_gradients`.

    Returns
    -------
    float32 (N, 3, H, W)
        They sum to the class score of the image minus that of the baseline, up to quadrature.

    Raises
    ------
    ManifestError
        An option is out of range.
    """
    if baseline not in BASELINES:
        raise ManifestError(
            f"saliency.options.baseline: expected {' | '.join(BASELINES)}, found {baseline!r}"
        )
    if not 1 <= steps <= MOST_PASSES:
        raise ManifestError(f"saliency.options.steps: expected 1..{MOST_PASSES}, found {steps}")
    start = BASELINES[baseline](images)
    way = images - start

    def on_the_way(step: int) -> Tensor:
        return start + (step + 0.5) / steps * way

    return (way * mean_gradient(model, on_the_way, steps, targets)).float()


def _mean_color(images: Tensor) -> Tensor:
    return images.mean((2, 3), keepdim=True).expand_as(images)


def _coarse(images: Tensor) -> Tensor:
    small = F.adaptive_avg_pool2d(images, (min(8, images.shape[2]), min(8, images.shape[3])))
    return F.interpolate(small, size=images.shape[2:], mode="bilinear", align_corners=False)


BASELINES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "mean": _mean_color,
    "black": torch.zeros_like,
    "white": torch.ones_like,
    "blur": _coarse,
}


def completeness_error(
    model: nn.Module, images: Tensor, targets: Tensor, *, steps: int = 32, baseline: str = "mean"
) -> Tensor:
    """How far integrated gradients are from their sum, as a share of it.

    Their sum is what the image adds to the class score of the baseline (the axiom of
    completeness); what is missing is the error of the quadrature, which more steps reduce.

    Parameters
    ----------
    model, images, targets, steps, baseline
        As for :func:`integrated_gradients`.

    Returns
    -------
    float32 (N,)
        >= 0; NaN where image and baseline have the same class score.

    Raises
    ------
    ManifestError
        An option is out of range.
    """
    if not len(images):
        return images.new_zeros(0, dtype=torch.float32)

    def explain(x: Tensor, t: Tensor, _seeds: Sequence[int]) -> tuple[Tensor, ...]:
        return (contributions(model, x, t, steps=steps, baseline=baseline).sum((1, 2, 3)),)

    (total,) = Microbatches(images, targets, [0] * len(images), model=model).map(explain)
    own = targets[:, None]
    start = class_scores(model, BASELINES[baseline](images)).gather(1, own)[:, 0]
    gain = (class_scores(model, images).gather(1, own)[:, 0] - start).float()
    return torch.where(gain == 0, torch.nan, (total - gain).abs() / gain.abs())

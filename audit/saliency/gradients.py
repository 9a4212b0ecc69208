"""Maps from derivatives of the class score with respect to pixels in 0..1."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from audit.errors import ManifestError
from audit.models.layout import MICROBATCH
from audit.saliency.microbatches import Microbatches
from audit.saliency.targets import derivative

MOST_PASSES = 1024
"""Of variants of one image: beyond it nothing changes but the time."""
# Variants of one image that are summed at a time, by passes of a microbatch: longer passes gain
# nothing on a CPU and hold more memory. A big batch fills the machine without them.
_TOGETHER = 8


def gradient(
    model: nn.Module, images: Tensor, targets: Tensor, *, seeds: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Largest absolute derivative of the class score over the colour channels.

    Simonyan, Vedaldi and Zisserman 2013, "Deep inside convolutional networks".

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
        Class score per unit of pixel value, >= 0.
    scores : float32 (N, K)
        Class scores of the same pass.
    """

    def explain(x: Tensor, t: Tensor, _seeds: Sequence[int]) -> tuple[Tensor, ...]:
        slopes, scores = pixel_gradient(model, x, t)
        return strongest(slopes), scores.float()

    batches = Microbatches(images, targets, seeds, model=model, size=MICROBATCH)
    maps, scores = batches.map(explain)
    return maps, scores


def smoothgrad(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    seeds: Sequence[int],
    samples: int = 16,
    noise: float = 0.15,
) -> tuple[Tensor, None]:
    """Gradient averaged over noisy copies of the image.

    Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise". The signed derivatives are
    averaged, then the largest absolute channel is taken.

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores.
    images : float (N, 3, H, W)
        In 0..1.
    targets : int64 (N,)
        The classes that are explained.
    seeds : sequence of N int
        Of each image's own noise, which is drawn on the CPU.
    samples : int
        Noisy copies, 1 to 1024.
    noise : float
        Standard deviation as a share of the image's own range of values, >= 0.

    Returns
    -------
    maps : float32 (N, H, W)
        Class score per unit of pixel value, >= 0.
    scores : None
        The image itself is not asked about.

    Raises
    ------
    ManifestError
        An option is out of range.
    """
    if not 1 <= samples <= MOST_PASSES or noise < 0:
        raise ManifestError(
            f"saliency.options: expected samples in 1..{MOST_PASSES} and noise >= 0, "
            f"found samples {samples} and noise {noise}"
        )

    def explain(x: Tensor, t: Tensor, s: Sequence[int]) -> tuple[Tensor, ...]:
        generators = [torch.Generator().manual_seed(int(seed)) for seed in s]
        values = x.flatten(1)
        width = noise * (values.amax(1) - values.amin(1)).view(-1, 1, 1, 1)

        def noisy(_step: int) -> Tensor:
            drawn = torch.empty(x.shape)
            for row, generator in zip(drawn, generators, strict=True):
                row.normal_(generator=generator)
            return x + width * drawn.to(x)

        return (strongest(mean_gradient(model, noisy, samples, t)),)

    (maps,) = Microbatches(images, targets, seeds, model=model).map(explain)
    return maps, None


def pixel_gradient(model: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Derivative of own class scores by pixels ``(N, 3, H, W)``, and the scores ``(N, K)``.

    Also under ``no_grad``.
    """
    with torch.inference_mode(False), torch.enable_grad():
        pixels = images.detach().clone().requires_grad_(True)
        scores = model(pixels)
        return derivative(scores, targets, pixels), scores.detach()


def mean_gradient(
    model: nn.Module, variant: Callable[[int], Tensor], count: int, targets: Tensor
) -> Tensor:
    """Average the pixel gradient over variants 0..count-1 of a batch, few at a time.

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores.
    variant : callable
        From the number of a variant to images ``(N, 3, H, W)``.
    count : int
        How many variants there are.
    targets : int64 (N,)
        Of each image.

    Returns
    -------
    float (N, 3, H, W)
    """
    rows = len(targets)
    together = max(1, _TOGETHER // max(1, rows))
    total: Tensor | None = None
    for first in range(0, count, together):
        steps = range(first, min(first + together, count))
        batch = torch.cat([variant(step) for step in steps])
        few = max(rows, MICROBATCH)
        own = targets.repeat(len(steps))
        passes = zip(torch.split(batch, few), torch.split(own, few), strict=True)
        slopes = torch.cat([pixel_gradient(model, some, t)[0] for some, t in passes])
        part = slopes.view(len(steps), rows, *slopes.shape[1:]).sum(0)
        total = part if total is None else total + part
    if total is None:
        raise ValueError(f"expected at least one variant, found {count}")
    return total / count


def strongest(slopes: Tensor) -> Tensor:
    """Largest absolute value over the channels, float32 ``(N, H, W)``."""
    return slopes.abs().amax(1).float()

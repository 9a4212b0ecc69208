"""Pictures put together: objects on other backgrounds, noise, patches in another order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from audit.threads import on_threads


def binomial_blur(images: Tensor) -> Tensor:
    """Blur ``(N, C, H, W)`` with the 5-tap binomial kernel; outside counts as zero."""
    height, width = images.shape[-2:]
    # Shifted sums: three times as fast on a CPU as a depthwise convolution, and the same.
    rows = F.pad(images, (0, 0, 2, 2))
    rows = (
        6 * rows[..., 2 : 2 + height, :]
        + 4 * (rows[..., 1 : 1 + height, :] + rows[..., 3 : 3 + height, :])
        + (rows[..., :height, :] + rows[..., 4 : 4 + height, :])
    )
    both = F.pad(rows, (2, 2))
    both = (
        6 * both[..., 2 : 2 + width]
        + 4 * (both[..., 1 : 1 + width] + both[..., 3 : 3 + width])
        + (both[..., :width] + both[..., 4 : 4 + width])
    )
    return both / 256


def feather(mask: Tensor) -> Tensor:
    """Soften a mask ``(N, H, W)`` bool to an alpha channel ``(N, 1, H, W)`` in 0..1.

    The edge is spread over about 1/56 of the side.
    """
    alpha = mask[:, None].float()
    for _ in range(max(1, round(mask.shape[-1] / 112))):
        alpha = binomial_blur(alpha)
    return alpha.clamp(0, 1)


def paste(images: Tensor, alpha: Tensor, backgrounds: Tensor) -> Tensor:
    """Put objects on other backgrounds.

    Parameters
    ----------
    images : float (N, 3, H, W)
        The objects' own images, 0..1.
    alpha : float (N, 1, H, W)
        From :func:`feather`; 1 on the object.
    backgrounds : float (N, 3, H, W)
        What shall stand behind them, 0..1.
    """
    return torch.lerp(backgrounds, images, alpha)


def object_only(images: Tensor, alpha: Tensor) -> Tensor:
    """Keep the object and replace everything else by the image's mean colour."""
    average = images.mean((2, 3), keepdim=True).expand_as(images)
    return paste(images, alpha, average)


NOISE = 0.25
"""Standard deviation of :func:`with_noise`, in units of 0..1 pixels."""


def noise_of(shape: Sequence[int], seeds: Sequence[int]) -> Tensor:
    """Standard normal noise ``(N, *shape)`` float32 on the CPU, each image's of its own seed.

    A device's own generator would draw other noise there than here, and a CPU's threads are fast
    enough.
    """

    def one(index: int) -> Tensor:
        generator = torch.Generator().manual_seed(seeds[index] % 2**63)
        return torch.randn(tuple(shape), generator=generator)

    return torch.stack(on_threads(one, len(seeds)))


def with_noise(images: Tensor, where: Tensor, noise: Tensor) -> Tensor:
    """Lay Gaussian noise over a part of each image.

    Parameters
    ----------
    images : float (N, 3, H, W)
        In 0..1.
    where : float (N, 1, H, W)
        Share of the noise that a pixel gets, 0..1.
    noise : float (N, 3, H, W)
        From :func:`noise_of`, so that the same can be laid on object and background.
    """
    return (images + NOISE * where * noise).clamp(0, 1)


PATCHES = 8
"""Patches along a side of :func:`shuffle_patches`."""


def shuffle_patches(images: Tensor, seeds: Sequence[int]) -> Tensor:
    """Cut each image into patches and lay them in another order.

    Colours and textures stay what they were; the form of the surroundings is lost.

    Parameters
    ----------
    images : float (N, 3, H, W)
        What does not fill a whole patch at the right and lower edge stays where it is.
    seeds : sequence of N int
        One per image.
    """
    height, width = (n // PATCHES for n in images.shape[-2:])
    if min(height, width) == 0:
        return images
    whole = images[..., : PATCHES * height, : PATCHES * width]
    count, channels = images.shape[:2]
    cut = whole.reshape(count, channels, PATCHES, height, PATCHES, width)
    # (N, C, PATCHES, height, PATCHES, width) -> patches first.
    patches = cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    orders = torch.stack(
        [
            torch.randperm(PATCHES**2, generator=torch.Generator().manual_seed(seed % 2**63))
            for seed in seeds
        ]
    ).to(images.device)
    moved = patches[torch.arange(len(images), device=images.device)[:, None], orders]
    grid = moved.reshape(count, PATCHES, PATCHES, channels, height, width)
    shuffled = images.clone()
    shuffled[..., : PATCHES * height, : PATCHES * width] = grid.permute(0, 3, 1, 4, 2, 5).reshape(
        whole.shape
    )
    return shuffled

"""What fills the place of an object: texture from beside it, or a smooth guess."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from audit.interventions.compositing import binomial_blur
from audit.interventions.inpainting import exemplar_fill
from audit.threads import on_threads


def smooth_fill(images: Tensor, hole: Tensor) -> Tensor:
    """Fill holes from their surroundings by normalised convolution, coarse to fine.

    Knutsson and Westin 1993, "Normalized and differential convolution", on a pyramid.

    Parameters
    ----------
    images : float (N, 3, H, W)
        In 0..1.
    hole : bool (N, H, W)
        True where the picture shall be replaced. An image that is all hole becomes mid-grey.

    Returns
    -------
    float (N, 3, H, W)
        Unchanged outside the holes.
    """
    known = (~hole)[:, None].to(images.dtype)
    return torch.where(hole[:, None], _fill(images * known, known), images)


def _fill(weighted: Tensor, weight: Tensor) -> Tensor:
    """Fill where weight is 0, from a half-size copy that is filled the same way."""
    normal = weighted / weight.clamp_min(1e-6)
    if min(weighted.shape[-2:]) <= 2:
        total = weight.sum((2, 3), keepdim=True)
        average = weighted.sum((2, 3), keepdim=True) / total.clamp_min(1e-6)
        average = torch.where(total > 0, average, 0.5)
        return torch.where(weight > 0, normal, average)
    smaller = _fill(_halve(weighted), _halve(weight))
    coarse = F.interpolate(smaller, size=weighted.shape[-2:], mode="bilinear", align_corners=False)
    share = weight.clamp(0, 1)
    return share * normal + (1 - share) * coarse


def _halve(images: Tensor) -> Tensor:
    return F.avg_pool2d(binomial_blur(images), 2, ceil_mode=True, count_include_pad=False)


def mean_fill(images: Tensor, hole: Tensor) -> Tensor:
    """Fill holes with the mean colour of the rest of the image."""
    known = (~hole)[:, None].to(images.dtype)
    total = known.sum((2, 3), keepdim=True)
    average = (images * known).sum((2, 3), keepdim=True) / total.clamp_min(1)
    return torch.where(hole[:, None], torch.where(total > 0, average, 0.5), images)


def blur_fill(images: Tensor, hole: Tensor) -> Tensor:
    """Fill holes with the blurred image itself; keeps the object's colours, so a weak control."""
    blurred = images
    for _ in range(8):
        blurred = binomial_blur(F.pad(blurred, (2, 2, 2, 2), mode="replicate"))[..., 2:-2, 2:-2]
    return torch.where(hole[:, None], blurred, images)


def texture_fill(images: Tensor, hole: Tensor) -> Tensor:
    """Fill holes with parts of the same image, and smoothly where none fits."""
    if images.device.type != "cpu" or len(images) == 0:
        return exemplar_fill(images, hole, smooth_fill(images, hole))

    def one(index: int) -> Tensor:
        image, cut = images[index : index + 1], hole[index : index + 1]
        return exemplar_fill(image, cut, smooth_fill(image, cut))

    return torch.cat(on_threads(one, len(images)))


FILLS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "inpaint": texture_fill,
    "smooth": smooth_fill,
    "mean": mean_fill,
    "blur": blur_fill,
}

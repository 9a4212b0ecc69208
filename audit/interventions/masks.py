"""Masks of what is cut out and of what counts for neither side."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def removal_radius(side: int) -> int:
    """Pixels by which a foreground is widened before it is cut out; ``max(2, side / 16)``.

    A narrower hole leaves a fringe of the donor's own object, and innocent classes get accused.
    """
    return max(2, round(side / 16))


def dilate(mask: Tensor, radius: int) -> Tensor:
    """Widen a mask ``(N, H, W)`` bool by `radius` pixels to all eight sides.

    Examples
    --------
    >>> dilate(torch.tensor([[[False, False, True]]]), 1).int().tolist()
    [[[0, 1, 1]]]
    """
    # One direction after the other, and each in doubling steps: a handful of comparisons a pixel
    # instead of (2r + 1)^2.
    return _widen(_widen(mask, radius, 2), radius, 1)


def _widen(mask: Tensor, radius: int, dim: int) -> Tensor:
    padding = (radius, radius) if dim == 2 else (0, 0, radius, radius)
    widened, reach = F.pad(mask, padding), 1
    while reach < 2 * radius + 1:
        step = min(reach, 2 * radius + 1 - reach)
        left = widened.shape[dim] - step
        widened = widened.narrow(dim, 0, left) | widened.narrow(dim, step, left)
        reach += step
    return widened


def boundary_band(foreground: Tensor, tolerance: float) -> Tensor:
    """The band inside the outline of a foreground, where a loose one holds background as well.

    Parameters
    ----------
    foreground : bool (N, H, W)
        As it was drawn.
    tolerance : float
        Width of the band, in sides of the image, 0..0.25. An object as narrow as that is all band.

    Returns
    -------
    bool (N, H, W)
        Within the foreground; empty where `tolerance` is less than half a pixel.
    """
    radius = round(tolerance * foreground.shape[-1])
    return foreground & dilate(~foreground, radius) if radius else torch.zeros_like(foreground)


def removal_mask(foreground: Tensor, ignored: Tensor) -> Tensor:
    """What is cut out of a donor: the object, widened by :func:`removal_radius`.

    Parameters
    ----------
    foreground, ignored : bool (N, H, W)
        The object, and the pixels that belong to neither side; both are cut.
    """
    return dilate(foreground | ignored, removal_radius(foreground.shape[-1]))

"""Whether the picture changes where a mask ends: a mask that cuts its object in two ends in it.

Along the rim of an object colours change more than a few pixels to either side of it. Where a mask
holds half of an object, they change along the cut no more than anywhere. No network is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

DIRECTIONS: Final = ("up", "down", "left", "right")
"""The sides of a mask, in the order of every result here."""
SIDE: Final = 64
"""Pixels to which larger images are averaged: masks by hand are off by a pixel or two of a
photograph, and so is the blur of an edge."""
_REACH: Final = 9
_INWARD: Final = tuple(range(-5, 2))
"""Pixels from the rim at which the edge may lie. A generous mask, which has it further in, hides
nothing of the object; one that has it further out does."""
_FEWEST_PIXELS: Final = 5
_FEWEST_IMAGES: Final = 10
_TURNS: Final = {"down": 0, "left": 1, "up": 2, "right": 3}
"""Quarter turns that bring a side down."""
LEAST_SUPPORT: Final = 0.6
"""Support below which a side may cut the object. Along the worst of four sides, means of 6 to 36
pictures: outlines by hand have .60 to .84 (30 classes or groups, photographs and painted), halves
.43 to .63 on photographs, up to .76 on painted objects, whose markings are edges, too."""


def edge_ranks(image: torch.Tensor, mask: torch.Tensor) -> NDArray[np.float64]:
    """How strong the edges along a mask's rim are, among those a few pixels in and out of it.

    Parameters
    ----------
    image : Tensor
        One image, ``(C, H, W)``, of any type and range.
    mask : Tensor
        ``(H, W)`` bool.

    Returns
    -------
    NDArray of float64
        ``(4, 7)``: for each of :data:`DIRECTIONS` and each offset from -5 (inside) to 1 (outside),
        the mean rank of the gradient's strength among 19 places across the rim, 0..1; one half is
        chance. Only the outermost pixels of a side are asked. NaN where fewer than five lie
        far enough from the border, and beyond it.
    """
    strength, inside = _edges(image, mask)
    ranks = [
        _ranks(np.rot90(strength, _TURNS[side]), np.rot90(inside, _TURNS[side]))
        for side in DIRECTIONS
    ]
    return np.stack(ranks)


def edge_support(ranks: NDArray[np.float64]) -> dict[str, float]:
    """How well the picture bears out each side of some masks, 0..1; one half is chance.

    Parameters
    ----------
    ranks : NDArray of float64
        ``(N, 4, 7)``, from :func:`edge_ranks`.

    Returns
    -------
    dict of str to float
        By direction, the highest mean rank at any of the offsets; without the sides that fewer
        than ten masks show.
    """
    support = {}
    for side, seen in zip(DIRECTIONS, ranks.swapaxes(0, 1), strict=True):
        known = seen[np.isfinite(seen).all(1)]
        if len(known) >= _FEWEST_IMAGES:
            support[side] = float(known.mean(0).max())
    return support


def least_supported(ranks: Sequence[Sequence[float] | None]) -> Mapping[str, str | float] | None:
    """The side along which some masks may cut their objects; None where the picture bears out all.

    Parameters
    ----------
    ranks : sequence of (sequence of 28 floats, or None)
        Flattened, from :func:`edge_ranks`; None where there is no mask. What somebody else wrote
        in another length counts as none.

    Returns
    -------
    mapping or None
        ``side``, one of :data:`DIRECTIONS`; ``support``, below :data:`LEAST_SUPPORT`; ``images``,
        how many masks show that side.
    """
    shape = (len(DIRECTIONS), len(_INWARD))
    flat = [one for one in ranks if one is not None and len(one) == shape[0] * shape[1]]
    known = np.reshape(np.asarray(flat, float), (len(flat), *shape))
    support = edge_support(known)
    if not support:
        return None
    side = min(support, key=lambda name: support[name])
    if support[side] >= LEAST_SUPPORT:
        return None
    shown = int(np.isfinite(known[:, DIRECTIONS.index(side)]).all(1).sum())
    return {"side": side, "support": support[side], "images": shown}


def _edges(
    image: torch.Tensor, mask: torch.Tensor
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Strength of the gradient, and the mask, at :data:`SIDE` pixels or fewer."""
    pixels, inside = image.to(torch.float64)[None], mask.to(torch.float64)[None, None]
    if max(mask.shape) > SIDE:
        size = [max(1, round(side * SIDE / max(mask.shape))) for side in mask.shape]
        pixels, inside = (F.interpolate(x, size, mode="area") for x in (pixels, inside))
    smooth = ndimage.gaussian_filter(pixels[0].numpy(), (0, 0.7, 0.7))
    down, right = np.gradient(smooth, axis=(1, 2))
    strength = np.sqrt((down**2 + right**2).sum(0))
    return ndimage.maximum_filter(strength, 3), (inside[0, 0] > 0.5).numpy()


def _ranks(strength: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The ranks along the lower side."""
    height = len(inside)
    columns = np.flatnonzero(inside.any(0))
    last = height - 1 - inside[::-1].argmax(0)[columns]
    # Nearer to the border too little lies outside to be compared with.
    there = (last >= -_INWARD[0] - 1) & (last < height + _INWARD[0])
    columns, last = columns[there], last[there]
    if len(columns) < _FEWEST_PIXELS:
        return np.full(len(_INWARD), np.nan)
    rows = last[:, None] + np.arange(-_REACH, _REACH + 1)
    known = (rows >= 0) & (rows < height)
    across = np.where(known, strength[rows.clip(0, height - 1), columns[:, None]], np.nan)
    ranks = []
    for offset in _INWARD:
        one = across[:, _REACH + offset, None]
        below = (across < one) + 0.5 * (across == one)
        counted = known[:, _REACH + offset]
        shares = (below.sum(1) / known.sum(1))[counted]
        ranks.append(shares.mean() if len(shares) else np.nan)
    return np.asarray(ranks)

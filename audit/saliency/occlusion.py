"""Maps from covering the image part by part: no derivatives are needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor, nn

from audit.errors import ManifestError
from audit.saliency.microbatches import Microbatches

# Covered copies of one image that share a pass. A big batch fills the machine without them.
_TOGETHER = 16

_Window = tuple[slice, slice]


def occlusion(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    seeds: Sequence[int],
    window: float = 0.25,
    stride: float = 0.125,
) -> tuple[Tensor, None]:
    """Mean drop of the class score over the windows that cover a pixel; its positive part.

    Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks". The cover has
    the image's own mean colour.

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
    window : float
        Side of the cover as a share of the image's side, 0..1.
    stride : float
        Step between covers as a share of the image's side, 1/64 to `window`. The cost is
        about ``1 + 1 / stride ** 2`` forward passes.

    Returns
    -------
    maps : float32 (N, H, W)
        Class score, >= 0.
    scores : None
        None: the covered copies are asked about one by one.

    Raises
    ------
    ManifestError
        An option is out of range.
    """
    if not 1 / 64 <= stride <= window <= 1:
        raise ManifestError(
            "saliency.options: expected 1/64 <= stride <= window <= 1, "
            f"found stride {stride} and window {window}"
        )

    def explain(x: Tensor, t: Tensor, _seeds: Sequence[int]) -> tuple[Tensor, ...]:
        return (_drops(model, x, t, windows(x.shape[2], x.shape[3], window, stride)),)

    with torch.no_grad():
        (maps,) = Microbatches(images, targets, seeds, model=model).map(explain)
    return maps, None


def windows(height: int, width: int, window: float, stride: float) -> list[_Window]:
    """Lay windows over an image so that every pixel is covered; those at the edge are cut off.

    Examples
    --------
    >>> [(rows.start, rows.stop) for rows, _ in windows(8, 1, 0.5, 0.25)]
    [(0, 3), (1, 5), (3, 7), (5, 8)]
    """
    return list(product(_intervals(height, window, stride), _intervals(width, window, stride)))


def _intervals(side: int, window: float, stride: float) -> list[slice]:
    """Distinct intervals of pixels around centres one stride apart."""
    found: dict[tuple[int, int], None] = {}
    for index in range(math.ceil(1 / stride - 1e-9)):
        center = (index + 0.5) * stride * side
        start = max(0, min(side - 1, math.floor(center - window * side / 2 + 0.5)))
        stop = min(side, math.floor(center + window * side / 2 + 0.5))
        found[start, max(start + 1, stop)] = None
    return [slice(start, stop) for start, stop in found]


def _drops(model: nn.Module, images: Tensor, targets: Tensor, covers: list[_Window]) -> Tensor:
    rows = len(images)
    color = images.mean((2, 3), keepdim=True)
    total = images.new_zeros((rows, *images.shape[2:]), dtype=torch.float32)
    count = torch.zeros_like(total)
    untouched = model(images).gather(1, targets[:, None])[:, 0].float()
    together = max(1, _TOGETHER // max(1, rows))
    for first in range(0, len(covers), together):
        group = covers[first : first + together]
        covered = images.repeat(len(group), 1, 1, 1)
        for place, (down, across) in enumerate(group):
            covered[place * rows : (place + 1) * rows, :, down, across] = color
        scores = model(covered).gather(1, targets.repeat(len(group))[:, None])
        drops = untouched - scores.view(len(group), rows).float()
        for (down, across), drop in zip(group, drops, strict=True):
            total[:, down, across] += drop[:, None, None]
            count[:, down, across] += 1
    return (total / count).clamp_min(0)

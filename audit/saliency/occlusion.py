"""Maps from covering parts of the image, in order or at random: no derivatives are needed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audit.errors import ManifestError
from audit.saliency.microbatches import Microbatches

# Covered copies of one image that share a pass. A big batch fills the machine without them.
_TOGETHER = 16

MOST_COVERS = 4096
"""Of random covers of one image: beyond it nothing changes but the time."""

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


def rise(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    seeds: Sequence[int],
    samples: int = 256,
    cells: int = 7,
    shown: float = 0.5,
) -> tuple[Tensor, None]:
    """Mean class score of randomly covered copies that show a pixel, less that of all; positive.

    Petsiuk, Das and Saenko 2018, "RISE: randomized input sampling for explanation of black-box
    models". Asked is the class score, which does not saturate, not the probability; so the mean of
    all copies is taken off, which moves the map and not its order. The cover has the image's own
    mean colour, as in :func:`occlusion`.

    Parameters
    ----------
    model : nn.Module
        From images in 0..1 to class scores.
    images : float (N, 3, H, W)
        In 0..1.
    targets : int64 (N,)
        The classes that are explained.
    seeds : sequence of N int
        Of each image's own covers, which are drawn on the CPU.
    samples : int
        Covered copies of an image, 2 to 4096: so many forward passes.
    cells : int
        Cells of a cover along each side, 2 to 32; they are enlarged bilinearly and shifted.
    shown : float
        Share of the cells that show the image, above 0 and below 1.

    Returns
    -------
    maps : float32 (N, H, W)
        Class score, >= 0.
    scores : None
        None: only covered copies are asked about.

    Raises
    ------
    ManifestError
        An option is out of range.
    """
    if not (2 <= samples <= MOST_COVERS and 2 <= cells <= 32 and 0 < shown < 1):
        raise ManifestError(
            f"saliency.options: expected samples in 2..{MOST_COVERS}, cells in 2..32 and shown "
            f"between 0 and 1, found samples {samples}, cells {cells} and shown {shown}"
        )

    def explain(x: Tensor, t: Tensor, s: Sequence[int]) -> tuple[Tensor, ...]:
        size = (x.shape[2], x.shape[3])
        generators = [torch.Generator().manual_seed(int(seed)) for seed in s]
        drawn = [covers(samples, size, cells, shown, own) for own in generators]
        return (_shown_together(model, x, t, drawn, samples),)

    with torch.no_grad():
        (maps,) = Microbatches(images, targets, seeds, model=model).map(explain)
    return maps, None


def covers(
    count: int, size: tuple[int, int], cells: int, shown: float, drawn: torch.Generator
) -> Iterator[Tensor]:
    """Draw soft covers, one after the other, float32 ``(H, W)`` in 0..1, 1 where the image shows.

    All is drawn before the first is made, so that it does not matter how many are made at a time.
    """
    down, across = (math.ceil(side / cells) for side in size)
    small = (torch.rand(count, 1, 1, cells, cells, generator=drawn) < shown).float()
    rows = torch.randint(down, (count,), generator=drawn).tolist()
    columns = torch.randint(across, (count,), generator=drawn).tolist()
    whole = ((cells + 1) * down, (cells + 1) * across)
    for one, row, column in zip(small, rows, columns, strict=True):
        large = F.interpolate(one, size=whole, mode="bilinear", align_corners=False)[0, 0]
        yield large[row : row + size[0], column : column + size[1]]


def _shown_together(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    drawn: Sequence[Iterator[Tensor]],
    samples: int,
) -> Tensor:
    """The map of each image from its own covers, of which there are `samples`."""
    rows = len(images)
    color = images.mean((2, 3), keepdim=True)
    weighted = images.new_zeros((rows, *images.shape[2:]), dtype=torch.float32)
    weight, total = torch.zeros_like(weighted), weighted.new_zeros(rows)
    together = max(1, _TOGETHER // max(1, rows))
    for first in range(0, samples if rows else 0, together):
        count = min(together, samples - first)
        masks = torch.stack([next(own) for _ in range(count) for own in drawn]).to(images)
        masks = masks.view(count, rows, 1, *images.shape[2:])
        copies = images * masks + color * (1 - masks)
        scores = model(copies.flatten(0, 1)).gather(1, targets.repeat(count)[:, None])
        scores, masks = scores.view(count, rows).float(), masks[:, :, 0].float()
        weighted += (masks * scores[:, :, None, None]).sum(0)
        weight += masks.sum(0)
        total += scores.sum(0)
    mean = (total / samples)[:, None, None]
    # A pixel that no copy shows tells nothing.
    return torch.where(weight > 0, weighted / weight - mean, 0 * mean).clamp_min(0)


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
        for number, (down, across) in enumerate(group):
            covered[number * rows : (number + 1) * rows, :, down, across] = color
        scores = model(covered).gather(1, targets.repeat(len(group))[:, None])
        drops = untouched - scores.view(len(group), rows).float()
        for (down, across), drop in zip(group, drops, strict=True):
            total[:, down, across] += drop[:, None, None]
            count[:, down, across] += 1
    return (total / count).clamp_min(0)

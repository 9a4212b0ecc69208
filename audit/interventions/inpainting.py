"""Exemplar-based inpainting: a hole is filled with texture from beside it.

A smooth guess takes the grain out of a surface; a network that reads the grain then misses its
cue, and a dependence looks smaller than it is. So a hole is filled with parts of the same image,
shifted as a whole, and only what no offset reaches is guessed. What does not stand at the rim is
not copied: a companion beside the object, brought into the hole, would be there twice, and classes
that one companion does not harm would be accused.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

GRID = 32
"""Side, in cells, of the small copy on which an offset is chosen."""
STEP = 2
"""Cells between the offsets that are compared."""
OFFSETS = 6
"""Moves, at most, that fill one hole."""
RIM = 2
"""Cells around the hole that a shifted part has to agree with."""
STRANGE = 0.12
"""Mean difference of the channels (0..1) from the nearest colour of the rim, from which a cell is
not copied: a thing beside the hole, brought into it, would stand there twice."""
UNCOVERED = 2.0
"""Cost of an offset that covers nothing of the hole, in units of colour (0..1 a channel)."""
LEAST_RIM = 4
"""Cells of the rim that must be known after an offset, or it is not considered."""
TOGETHER = 32
"""Images whose offsets are compared at once; each takes a few MB for that."""


def rim_of(hole: Tensor) -> Tensor:
    """The cells around holes, bool (N, S, S) like `hole`: :data:`RIM` wide, to all eight sides."""
    wide = F.max_pool2d(hole[:, None].float(), 2 * RIM + 1, 1, RIM)[:, 0] > 0
    return wide & ~hole


def source_mask(images: Tensor, hole: Tensor) -> Tensor:
    """Find what may be copied into a hole: known cells of a colour that stands at its rim.

    Parameters
    ----------
    images : float (N, 3, S, S)
        Small copies, in 0..1.
    hole : bool (N, S, S)
        True where the picture shall be replaced.

    Returns
    -------
    bool (N, S, S)
    """
    cells, there = _cells(rim_of(hole))
    if not cells.shape[1]:
        return torch.zeros_like(hole)
    apart = torch.cdist(images.flatten(2).mT, _at(images, cells).mT, p=1)
    nearest = apart.masked_fill(~there[:, None], torch.inf).amin(2) / 3
    strange = ((nearest.view(hole.shape) > STRANGE) & ~hole)[:, None].float()
    return (F.max_pool2d(strange, 2 * RIM + 1, 1, RIM)[:, 0] == 0) & ~hole


def best_offsets(
    images: Tensor, hole: Tensor, sources: Tensor, guess: Tensor
) -> tuple[Tensor, Tensor]:
    """Choose the offsets that fill a hole, the best first.

    An offset is good when what it brings agrees with the hole's rim and with a smooth guess, and
    when it covers much of the hole (He and Sun 2012, "Statistics of patch offsets for image
    completion", choose likewise). Offsets by every second cell, up to half the side, are compared.

    Parameters
    ----------
    images : float (N, 3, S, S)
        Small copies, in 0..1.
    hole : bool (N, S, S)
        True where the picture shall be replaced.
    sources : bool (N, S, S)
        From :func:`source_mask`: what may be copied.
    guess : float (N, 3, S, S)
        A smooth fill, from which what is brought shall not stray far: sky above, grass below.

    Returns
    -------
    int64 (N, K, 2), bool (N, K)
        At most :data:`OFFSETS` offsets, down and right in cells, and whether each may be used: a
        cell of the hole at ``(y, x)`` takes what is at ``(y + down, x + right)``.
    """
    reach = hole.shape[-1] // 2
    (rim, at_rim), (inside, in_hole) = _cells(rim_of(hole)), _cells(hole)
    steps = torch.arange(-reach, reach + 1, STEP, device=images.device)
    offsets = torch.cartesian_prod(steps, steps)
    known = (~hole)[:, None].to(images)
    there = torch.cat([images * known, known, sources[:, None].to(images)], 1)
    to_rim, to_hole = (_shifted(there, cells, offsets) for cells in (rim, inside))
    known_rim = to_rim[:, :, 3] * at_rim[:, None]
    brought = to_hole[:, :, 4] * in_hole[:, None]
    off = _mean_apart(to_rim[:, :, :3], _at(images, rim), known_rim)
    strays = _mean_apart(to_hole[:, :, :3], _at(guess, inside), brought)
    covered = brought.sum(2) / in_hole.sum(1, keepdim=True).clamp_min(1)
    cost = off + strays + UNCOVERED * (1 - covered)
    cost = torch.where((known_rim.sum(2) >= LEAST_RIM) & (covered > 0), cost, torch.inf)
    order = torch.argsort(cost, dim=1, stable=True)[:, :OFFSETS]
    return offsets[order], cost.gather(1, order) < torch.inf


def _cells(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Places of the True cells of masks (N, S, S) in flat images, (N, K), and which of them count.

    As many as the mask that has most; the places beyond a mask's own do not count.
    """
    counts = mask.flatten(1).sum(1)
    most = int(counts.max())
    first = (~mask).flatten(1).byte().argsort(dim=1, stable=True)[:, :most]
    return first, torch.arange(most, device=mask.device) < counts[:, None]


def _at(pictures: Tensor, cells: Tensor) -> Tensor:
    """Pictures (N, C, S, S) at some cells (N, K), as (N, C, K)."""
    return pictures.flatten(2).gather(2, cells[:, None].expand(-1, pictures.shape[1], -1))


def _shifted(pictures: Tensor, cells: Tensor, offsets: Tensor) -> Tensor:
    """What each offset brings to the cells, (N, offsets, C, cells); zero from beyond the border."""
    count, channels, side = pictures.shape[:3]
    around = F.pad(pictures, (side // 2,) * 4)
    wide = around.shape[-1]
    down = (cells // side)[:, None] + offsets[:, :1] + side // 2
    right = (cells % side)[:, None] + offsets[:, 1:] + side // 2
    each = torch.arange(count, device=cells.device)[:, None, None] * wide**2
    # One index into flat rows is found many times as fast as several.
    places = (each + down * wide + right).flatten()
    found = around.transpose(0, 1).flatten(1).index_select(1, places)
    return found.view(channels, count, len(offsets), cells.shape[1]).permute(1, 2, 0, 3)


def _mean_apart(colours: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Mean difference of each offset's colours (N, offsets, 3, cells) from those wanted."""
    apart = (colours - target[:, None]).abs().mean(2) * counted
    return apart.sum(2) / counted.sum(2).clamp_min(1)


def exemplar_fill(images: Tensor, hole: Tensor, guess: Tensor) -> Tensor:
    """Fill holes with parts of the same image.

    Parameters
    ----------
    images : float (N, 3, H, W)
        In 0..1; N may be 0.
    hole : bool (N, H, W)
        True where the picture shall be replaced.
    guess : float (N, 3, H, W)
        What stands where no offset reaches, such as a smooth fill.

    Returns
    -------
    float (N, 3, H, W)
        Unchanged outside the holes. Each image by itself: neighbours in the batch change nothing
        but, where two offsets are equally good, the last bit that decides.
    """
    # A class of which no image has a usable foreground brings a batch of none.
    if not len(images):
        return images
    parts = (torch.split(part, TOGETHER) for part in (images, hole, guess))
    return torch.cat([_fill_some(*some) for some in zip(*parts, strict=True)])


def _fill_some(images: Tensor, hole: Tensor, guess: Tensor) -> Tensor:
    height, width = hole.shape[1:]
    side = min(GRID, height, width)
    known = (~hole)[:, None].to(images)
    # Means of what is known in each cell; a cell belongs to the hole when little of it is known.
    share = F.adaptive_avg_pool2d(known, side)
    small = F.adaptive_avg_pool2d(images * known, side) / share.clamp_min(1e-6)
    small_hole = share[:, 0] < 0.5
    sources = source_mask(small, small_hole)
    offsets, possible = best_offsets(small, small_hole, sources, F.adaptive_avg_pool2d(guess, side))
    # In pixels; halves to even, as Python has it.
    scale = torch.tensor([height, width], dtype=torch.float64, device=hole.device) / side
    shifts = (offsets * scale).round().long()
    usable = (F.interpolate(sources[:, None].float(), (height, width))[:, 0] > 0) & ~hole
    pixels, rows = _pixels(images), hole.nonzero()
    image, y, x = rows.unbind(1)
    pixel = (image * height + y) * width + x
    colours, left = _pixels(guess)[pixel], torch.ones_like(pixel, dtype=torch.bool)
    usable = usable.flatten()
    for move, able in zip(shifts.unbind(1), possible.unbind(1), strict=True):
        down, right = (rows[:, 1:] + move[image]).unbind(1)
        inside = (down >= 0) & (down < height) & (right >= 0) & (right < width)
        source = (image * height + down.clamp(0, height - 1)) * width + right.clamp(0, width - 1)
        taken = left & able[image] & inside & usable[source]
        colours = torch.where(taken[:, None], pixels[source], colours)
        left &= ~taken
    pixels[pixel] = colours
    return pixels.view(*hole.shape, -1).movedim(-1, 1).contiguous()


def _pixels(images: Tensor) -> Tensor:
    """A copy of images ``(N, C, H, W)`` as rows ``(N * H * W, C)``."""
    return images.permute(0, 2, 3, 1).flatten(0, 2).clone(memory_format=torch.contiguous_format)

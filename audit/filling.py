"""What stands where an object was cut out: a smooth guess, or texture from beside the hole.

A smooth guess takes the grain out of a surface; a network that reads the grain then misses its
cue, and a dependence looks smaller than it is. So a hole is filled with parts of the same image,
moved as a whole, and only what no move reaches is guessed. What does not stand at the rim is not
moved: a companion beside the object, copied into the hole, would be there twice, and classes that
one companion does not harm would be accused.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

GRID = 32
"""Side, in cells, of the small copy on which a move is chosen."""
STEP = 2
"""Cells between the moves that are compared."""
MOVES = 6
"""Moves, at most, that fill one hole."""
RIM = 2
"""Cells around the hole that a moved part has to agree with."""
STRANGE = 0.12
"""Mean difference of the channels (0..1) from the nearest colour of the rim, from which a cell is
not copied: a thing beside the hole, brought into it, would stand there twice."""
UNCOVERED = 2.0
"""Cost of a move that covers nothing of the hole, in units of colour (0..1 a channel)."""
LEAST_RIM = 4
"""Cells of the rim that must be known after a move, or it is not considered."""


def rim_of(hole: Tensor) -> Tensor:
    """The cells around a hole, bool (S, S) like `hole`: :data:`RIM` wide, to all eight sides."""
    wide = F.max_pool2d(hole[None, None].float(), 2 * RIM + 1, 1, RIM)[0, 0] > 0
    return wide & ~hole


def fitting(image: Tensor, hole: Tensor) -> Tensor:
    """Find what may be copied into a hole: known cells of a colour that stands at its rim.

    Parameters
    ----------
    image : float (3, S, S)
        A small copy, in 0..1.
    hole : bool (S, S)
        True where the picture shall be replaced.

    Returns
    -------
    bool (S, S)
    """
    colours = image[:, rim_of(hole)]
    if not colours.shape[1]:
        return torch.zeros_like(hole)
    apart = torch.cdist(image.flatten(1).T, colours.T, p=1).min(1).values / 3
    strange = ((apart.view(hole.shape) > STRANGE) & ~hole)[None, None].float()
    return (F.max_pool2d(strange, 2 * RIM + 1, 1, RIM)[0, 0] == 0) & ~hole


def best_moves(image: Tensor, hole: Tensor, fits: Tensor, guess: Tensor) -> list[tuple[int, int]]:
    """Choose the moves that fill a hole, the best first.

    A move is good when what it brings agrees with the hole's rim and with a smooth guess, and when
    it covers much of the hole (He and Sun 2012, "Statistics of patch offsets for image
    completion", choose among offsets likewise). Moves by every second cell, up to half the side,
    are compared.

    Parameters
    ----------
    image : float (3, S, S)
        A small copy, in 0..1.
    hole : bool (S, S)
        True where the picture shall be replaced.
    fits : bool (S, S)
        From :func:`fitting`: what may be copied.
    guess : float (3, S, S)
        A smooth fill, from which what is brought shall not stray far: sky above, grass below.

    Returns
    -------
    list of (down, right)
        At most :data:`MOVES` moves in cells: a cell of the hole at ``(y, x)`` takes what is at
        ``(y + down, x + right)``.
    """
    side = hole.shape[-1]
    reach = side // 2
    rim, inside = torch.nonzero(rim_of(hole)), torch.nonzero(hole)
    if len(rim) < LEAST_RIM or not len(inside):
        return []
    steps = torch.arange(-reach, reach + 1, STEP, device=image.device)
    moves = torch.cartesian_prod(steps, steps)
    known = (~hole)[None].to(image)
    there = torch.cat([image * known, known, fits[None].to(image)])
    at_rim, in_hole = (_moved(there, cells, moves) for cells in (rim, inside))
    known_rim, brought = at_rim[:, 3], in_hole[:, 4]
    off = _mean_apart(at_rim[:, :3], image[:, rim[:, 0], rim[:, 1]], known_rim)
    strays = _mean_apart(in_hole[:, :3], guess[:, inside[:, 0], inside[:, 1]], brought)
    covered = brought.mean(1)
    cost = off + strays + UNCOVERED * (1 - covered)
    cost = torch.where((known_rim.sum(1) >= LEAST_RIM) & (covered > 0), cost, torch.inf)
    order = torch.argsort(cost, stable=True)[:MOVES]
    return [(int(moves[i, 0]), int(moves[i, 1])) for i in order if bool(cost[i] < torch.inf)]


def _moved(picture: Tensor, cells: Tensor, moves: Tensor) -> Tensor:
    """What each move brings to the cells, (moves, C, cells); zero from beyond the border."""
    reach = picture.shape[-1] // 2
    around = F.pad(picture, (reach,) * 4)
    down = cells[None, :, 0] + moves[:, :1] + reach
    right = cells[None, :, 1] + moves[:, 1:] + reach
    # One index into flat rows is found many times as fast as a pair of them.
    places = (down * around.shape[-1] + right).flatten()
    found = around.flatten(1).index_select(1, places)
    return found.view(len(picture), len(moves), len(cells)).movedim(0, 1)


def _mean_apart(colours: Tensor, wanted: Tensor, counted: Tensor) -> Tensor:
    """Mean difference of each move's colours (moves, 3, cells) from those wanted (3, cells)."""
    apart = (colours - wanted[None]).abs().mean(1) * counted
    return apart.sum(1) / counted.sum(1).clamp_min(1)


def exemplar_fill(images: Tensor, hole: Tensor, guess: Tensor) -> Tensor:
    """Fill holes with parts of the same image.

    Parameters
    ----------
    images : float (N, 3, H, W)
        In 0..1.
    hole : bool (N, H, W)
        True where the picture shall be replaced.
    guess : float (N, 3, H, W)
        What stands where no move reaches, such as a smooth fill.

    Returns
    -------
    float (N, 3, H, W)
        Unchanged outside the holes. Each image by itself: neighbours in the batch change nothing.
    """
    filled = [_fill_one(*one) for one in zip(images, hole, guess, strict=True)]
    return torch.stack(filled) if filled else images


def _fill_one(image: Tensor, hole: Tensor, guess: Tensor) -> Tensor:
    height, width = hole.shape
    side = min(GRID, height, width)
    known = (~hole)[None].to(image)
    # Means of what is known in each cell; a cell belongs to the hole when little of it is known.
    share = F.adaptive_avg_pool2d(known[None], side)[0]
    small = F.adaptive_avg_pool2d((image * known)[None], side)[0] / share.clamp_min(1e-6)
    small_hole = share[0] < 0.5
    fits = fitting(small, small_hole)
    moves = best_moves(small, small_hole, fits, F.adaptive_avg_pool2d(guess[None], side)[0])
    allowed = F.interpolate(fits[None, None].float(), (height, width))[0, 0] > 0
    filled, left = guess.clone(), hole.clone()
    usable = allowed & ~hole
    for move in moves:
        down, right = round(move[0] * height / side), round(move[1] * width / side)
        here = (_within(height, -down), _within(width, -right))
        there = (_within(height, down), _within(width, right))
        taken = left[here] & usable[there]
        filled[:, *here] = torch.where(taken, image[:, *there], filled[:, *here])
        left[here] &= ~taken
    return torch.where(hole[None], filled, image)


def _within(length: int, shift: int) -> slice:
    """Of `length` places those that lie within it and `shift` places back, too."""
    return slice(max(0, shift), length + min(0, shift))

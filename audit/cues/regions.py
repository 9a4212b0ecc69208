"""The window of the background in which a saliency map holds most evidence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from audit.interventions import dilate, removal_radius

FOUND = "found"
BLANK_MAP = "blank_map"
NO_EVIDENCE = "no_evidence"
NO_BACKGROUND = "no_background"

LEAST_BACKGROUND = 0.75
"""Share of a window that must be background; what stands in it of the hole is filled later."""


@dataclass(frozen=True)
class Windows:
    """One window an image, or the reason why there is none.

    Parameters
    ----------
    boxes : int64 (N, 4)
        Top, left, bottom, right in pixels of the input, the last two exclusive; zeros where none.
    shares : float64 (N,)
        Share of the whole map's mass that lies on the background within the window; NaN where
        none.
    statuses : tuple of str
        ``found``, ``blank_map`` (nothing in the map, or values that are not finite),
        ``no_evidence`` (nothing of it on the background), ``no_background`` (no window fits).
    """

    boxes: Tensor
    shares: Tensor
    statuses: tuple[str, ...]


def window_side(side: int) -> int:
    """Side of the window for an input of `side` pixels: a quarter, at least 2."""
    return max(2, round(side / 4))


def background_of(foreground: Tensor, ignored: Tensor, radius: int | None = None) -> Tensor:
    """Pixels that are surely background.

    Parameters
    ----------
    foreground, ignored : bool (N, H, W)
        The object, and what belongs to neither side.
    radius : int, optional
        By which the object is widened first; by default that of the swaps.

    Returns
    -------
    bool (N, H, W)
    """
    widened = dilate(foreground, removal_radius(foreground.shape[-1]) if radius is None else radius)
    return ~(widened | ignored)


def find_windows(maps: Tensor, background: Tensor, side: int | None = None) -> Windows:
    """Find the square window of the background with most evidence in each map.

    Parameters
    ----------
    maps : float (N, H, W)
        At least 0, of any scale.
    background : bool (N, H, W)
        From :func:`background_of`. Only the map's mass on it counts, and at least
        :data:`LEAST_BACKGROUND` of a window must lie on it.
    side : int, optional
        Of the window in pixels; by default :func:`window_side`.

    Returns
    -------
    Windows
        Of several best windows the uppermost, then the leftmost.

    Examples
    --------
    >>> saliency = torch.tensor([[[0.0, 0, 9], [0, 1, 0], [0, 0, 0]]])
    >>> find_windows(saliency, torch.ones(1, 3, 3, dtype=torch.bool), 2).boxes.tolist()
    [[0, 1, 2, 3]]
    """
    height, width = maps.shape[1:]
    side = side or window_side(min(height, width))
    finite = maps.isfinite().flatten(1).all(1)
    finite_maps = torch.where(finite[:, None, None], maps, 0.0).double().clamp_min(0)
    whole = finite_maps.flatten(1).sum(1)
    evidence = _sums(finite_maps * background, side)
    room = _sums(background.double(), side) >= LEAST_BACKGROUND * side * side - 0.5
    best, position = torch.where(room, evidence, -1.0).flatten(1).max(1)
    # On every device the first of several: `max` does not promise which one it takes.
    position = (torch.where(room, evidence, -1.0).flatten(1) == best[:, None]).int().argmax(1)
    columns = width - side + 1
    top, left = position // columns, position % columns
    boxes = torch.stack([top, left, top + side, left + side], 1)
    statuses = [
        BLANK_MAP
        if total <= 0
        else NO_BACKGROUND
        if value < 0
        else NO_EVIDENCE
        if value <= 0
        else FOUND
        for total, value in zip(whole.tolist(), best.tolist(), strict=True)
    ]
    found = torch.tensor([status == FOUND for status in statuses], device=maps.device)
    return Windows(
        boxes=torch.where(found[:, None], boxes, 0),
        shares=torch.where(found, best / whole, torch.nan),
        statuses=tuple(statuses),
    )


def _sums(values: Tensor, side: int) -> Tensor:
    """Sums over all windows of a side, ``(N, H - side + 1, W - side + 1)`` float64."""
    return F.avg_pool2d(values[:, None], side, stride=1)[:, 0] * (side * side)

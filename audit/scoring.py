"""Localisation arithmetic: how much of a map lies on the object.

Pure functions on tensors; they know nothing of models, files or devices. A number that is not
defined (no foreground, a foreground without background, a blank map) is NaN with a status that
says why, never 0 and never a hit.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import stats
from torch import Tensor

from audit.findings import Status

STATUSES = tuple(Status)
"""The places of :func:`score_maps`'s ``status``."""

_CLAMP = 1e-6


def foreground_area(foreground: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Object pixels over all pixels that count: the mass that a uniform map would have.

    Parameters
    ----------
    foreground : bool (N, H, W)
        True on the object.
    ignored : bool (N, H, W), optional
        True on pixels that belong to neither side.

    Returns
    -------
    float64 (N,)
        In 0..1; NaN where no pixel counts.

    Examples
    --------
    >>> foreground_area(torch.tensor([[[True, False], [False, False]]])).tolist()
    [0.25]
    """
    counted = _counted(foreground, ignored)
    inside = (foreground & counted).flatten(1).sum(1).double()
    return inside / counted.flatten(1).sum(1).double()


def foreground_mass(maps: Tensor, foreground: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Relevance Mass Accuracy: the sum of the map on the object over its whole sum.

    Arras, Osman and Samek 2022, "CLEVR-XAI".

    Parameters
    ----------
    maps : float (N, H, W), >= 0
        Saliency maps of any scale.
    foreground, ignored : bool (N, H, W)
        See :func:`foreground_area`.

    Returns
    -------
    float64 (N,)
        In 0..1; NaN where the map sums to 0 or is not finite.

    Examples
    --------
    >>> maps = torch.tensor([[[3.0, 1.0], [0.0, 0.0]]])
    >>> foreground_mass(maps, torch.tensor([[[True, False], [False, False]]])).tolist()
    [0.75]
    """
    counted = _counted(foreground, ignored)
    values = maps.double() * counted
    # A maximum of 1 first: sums of very large or very small maps would over- or underflow.
    values = values / values.flatten(1).amax(1).clamp_min(1e-300).view(-1, 1, 1)
    total = values.flatten(1).sum(1)
    inside = (values * foreground).flatten(1).sum(1)
    mass = inside / total
    return torch.where(total > 0, mass, torch.nan)


def mass_lift(mass: Tensor, area: Tensor) -> Tensor:
    """Log-odds of mass minus log-odds of area: 0 for a uniform map, positive on the object.

    Parameters
    ----------
    mass, area : float (N,)
        In 0..1. Both are kept 1e-6 away from 0 and 1, so the lift stays finite.

    Returns
    -------
    float64 (N,)
        In nats; NaN where mass or area is NaN, and where the area is 0 or 1.

    Examples
    --------
    >>> mass_lift(torch.tensor([0.5]), torch.tensor([0.5])).tolist()
    [0.0]
    """
    defined = (area > 0) & (area < 1) & ~mass.isnan()
    lift = torch.logit(mass.double(), eps=_CLAMP) - torch.logit(area.double(), eps=_CLAMP)
    return torch.where(defined, lift, torch.nan)


def rank_accuracy(maps: Tensor, foreground: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Relevance Rank Accuracy: of the map's k highest pixels, the share on the object of k pixels.

    Arras, Osman and Samek 2022. Equal values are ranked by position.

    Parameters
    ----------
    maps, foreground, ignored
        See :func:`foreground_mass`.

    Returns
    -------
    float64 (N,)
        In 0..1; NaN where there is no object.
    """
    counted = _counted(foreground, ignored)
    values = maps.masked_fill(~counted, -torch.inf).flatten(1)
    inside = (foreground & counted).flatten(1)
    size = inside.sum(1)
    lowest = _ranked(values, size.clamp_min(1))[:, None]
    higher, equal = values > lowest, values == lowest
    # Of the pixels that share the last rank's value, the first ones fill what is left.
    ranked = higher | (equal & (equal.cumsum(1) <= (size - higher.sum(1))[:, None]))
    return torch.where(size > 0, (inside & ranked).sum(1).double() / size, torch.nan)


def _ranked(values: Tensor, rank: Tensor) -> Tensor:
    """The value of rank `rank` ``(N,)``, 1 for the highest, in each row of `values` ``(N, P)``."""
    if values.device.type != "cpu":
        return values.sort(1, descending=True).values.gather(1, rank[:, None] - 1).squeeze(1)
    # Partly sorted is enough, and numpy's is many times as fast as any sorting by torch here.
    found = np.empty(len(values), values.numpy().dtype)
    for index, (row, count) in enumerate(zip(values.numpy(), rank.tolist(), strict=True)):
        cut = len(row) - count
        found[index] = np.partition(row, cut)[cut]
    return torch.from_numpy(found)


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float:
    """Spearman's rank correlation of two maps, -1..1.

    NaN where either is the same everywhere, is not finite, or has fewer than three places.

    Examples
    --------
    >>> rank_correlation([[1, 2], [3, 4]], [[1, 4], [9, 16]])
    1.0
    >>> rank_correlation([1, 2, 3], [5, 5, 5])
    nan
    """
    first, second = (np.asarray(values, np.float64).ravel() for values in (one, other))
    if len(first) < 3 or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return float("nan")
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return round(float(stats.spearmanr(first, second).statistic), 12)


def pointing_hit(maps: Tensor, foreground: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Pointing game: whether the map's highest pixel lies on the object.

    Zhang et al. 2018, "Top-down neural attention by excitation backprop", without their margin.

    Returns
    -------
    bool (N,)
        The first of several equal maxima counts. Meaningless where the map is blank or there is
        no object; :func:`score_maps` leaves those undefined.
    """
    counted = _counted(foreground, ignored)
    values = maps.masked_fill(~counted, -torch.inf).flatten(1)
    # The first of equal values by hand, for argmax does not promise it.
    positions = torch.arange(values.shape[1], device=values.device)
    highest = values == values.amax(1, keepdim=True)
    best = torch.where(highest, positions, values.shape[1] - 1).amin(1, keepdim=True)
    return (foreground & counted).flatten(1).gather(1, best).squeeze(1)


def _counted(foreground: Tensor, ignored: Tensor | None) -> Tensor:
    return torch.ones_like(foreground) if ignored is None else ~ignored


def score_maps(
    maps: Tensor, foreground: Tensor, ignored: Tensor | None = None
) -> dict[str, Tensor]:
    """All localisation scores of a batch, with the status that says which are defined.

    Parameters
    ----------
    maps, foreground, ignored
        See :func:`foreground_mass`.

    Returns
    -------
    dict
        ``status`` int64 (N,), places in :data:`STATUSES`; ``foreground_area``,
        ``foreground_mass``, ``mass_lift``, ``rank_accuracy``, ``pointing_hit`` float64 (N,), NaN
        where undefined (``pointing_hit`` is 0, 1 or NaN). All on the device of `maps`.
    """
    area = foreground_area(foreground, ignored)
    finite = maps.flatten(1).isfinite().all(1)
    safe = torch.where(finite.view(-1, 1, 1), maps, 0.0)
    counted = safe if ignored is None else safe.masked_fill(ignored, 0.0)
    blank = counted.flatten(1).amax(1) <= 0
    mass = foreground_mass(safe, foreground, ignored)
    empty = ~(foreground & _counted(foreground, ignored)).flatten(1).any(1)
    full = ~empty & (area >= 1)
    undefined = empty | full | blank | ~finite
    rank = rank_accuracy(safe, foreground, ignored)
    hit = pointing_hit(safe, foreground, ignored).double()
    status = torch.zeros(len(maps), dtype=torch.int64, device=maps.device)
    for name, where in (
        (Status.BLANK_MAP, blank),
        (Status.FULL_FOREGROUND, full),
        (Status.NO_FOREGROUND, empty),
        (Status.NOT_FINITE, ~finite),
    ):
        status = torch.where(where, STATUSES.index(name), status)
    return {
        "status": status,
        "foreground_area": torch.where(empty, torch.nan, area),
        "foreground_mass": torch.where(undefined, torch.nan, mass),
        "mass_lift": torch.where(undefined, torch.nan, mass_lift(mass, area)),
        "rank_accuracy": torch.where(undefined, torch.nan, rank),
        "pointing_hit": torch.where(undefined, torch.nan, hit),
    }

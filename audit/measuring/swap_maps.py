"""Swap maps: the parts of one image that move its class, measured with the material of the swaps.

Random parts of the image are replaced by what other images show in their background at the same
place, and the change of the class's lead is regressed on which parts were replaced: its score less
that of one rival, the class that the image becomes on such backgrounds, or the one that comes
second in it as it is. (Less the best other score of each picture, the object would win where a
scenery tells two look-alikes apart: without the object some third class comes first.) Hiding parts
by chance is RISE (Petsiuk, Das and Saenko 2018); its grey is no picture that a network knows, so
here a part makes room for a real background, and least squares give each part a standard error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from audit.interventions import feather, paste
from audit.measuring.part_findings import SwapMap
from audit.measuring.part_regression import UNKNOWN, fit_parts

CELLS = 4
"""Parts along a side. Of finer ones half of a scene is always left, which is scene enough."""
MASKS = 128
"""Pictures with parts replaced, for donors of either kind."""
_LEAST = 0.1
"""A cell is split into object and surroundings; less than this share of it is left out."""

Scores = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Donors:
    """Backgrounds of other classes, at least one, and of the image's own; float (n, 3, H, W).

    `rival` is the class whose lead is asked for; None: the one that comes second in the image.
    """

    others: Tensor
    own: Tensor
    rival: int | None = None


def swap_map(
    scores: Scores,
    image: Tensor,
    foreground: Tensor,
    label: int,
    donors: Donors,
    *,
    seed: int,
    masks: int = MASKS,
) -> SwapMap:
    """Measure which parts of an image move its lead over a rival.

    Parameters
    ----------
    scores : callable
        Images ``(N, 3, H, W)`` in 0..1 to class scores ``(N, K)``.
    image : float (3, H, W)
        In 0..1.
    foreground : bool (H, W)
        True on the object.
    label : int
        The class.
    donors : Donors
        Whose backgrounds take the places of the parts.
    seed : int
        Of this image alone.
    masks : int
        Pictures for each kind of donor.

    Raises
    ------
    ValueError
        There is nothing to replace, no donor, or fewer pictures than parts ask for.
    """
    parts, is_object = parts_of(foreground, CELLS)
    if not len(parts) or not len(donors.others) or masks < 2 * len(parts):
        raise ValueError(
            f"swap_map: expected donors, and 2 pictures a part; found {len(donors.others)} donors, "
            f"{masks} pictures and {len(parts)} parts"
        )
    replaced = _draw(len(parts), masks, seed)
    rival = _second(scores(image[None])[0], label) if donors.rival is None else donors.rival
    pair = (label, rival)
    foreign = fit_parts(replaced, _leads(scores, image, parts, replaced, pair, donors.others))
    control = UNKNOWN
    if len(donors.own):
        own = _leads(scores, image, parts, replaced, pair, donors.own)
        control = fit_parts(replaced, own).total(~is_object)
    return SwapMap(
        parts=parts.cpu().numpy(),
        is_object=is_object,
        rival=rival,
        effects=foreign.effects,
        errors=foreign.errors,
        surroundings=foreign.total(~is_object),
        body=foreign.total(is_object),
        difference=foreign.total(np.where(is_object, -1.0, 1.0)),
        control=control,
    )


def parts_of(foreground: Tensor, cells: int) -> tuple[Tensor, NDArray[np.bool_]]:
    """Masks ``(P, H, W)`` of the parts, and which of them are object."""
    height, width = foreground.shape
    rows = torch.arange(height, device=foreground.device) * cells // height
    columns = torch.arange(width, device=foreground.device) * cells // width
    cell = rows[:, None] * cells + columns
    found, is_object = [], []
    for number in range(cells**2):
        whole = cell == number
        for kind in (False, True):
            part = whole & (foreground == kind)
            if part.sum() >= _LEAST * whole.sum():
                found.append(part)
                is_object.append(kind)
    masks = torch.stack(found) if found else foreground.new_zeros((0, height, width))
    return masks, np.array(is_object, dtype=bool)


def _draw(parts: int, masks: int, seed: int) -> NDArray[np.bool_]:
    """Which parts each picture replaces, ``(masks, parts)``: pairs of opposites."""
    random = np.random.default_rng(seed)
    half = random.random((masks - masks // 2, parts)) < 0.5
    return np.concatenate([half, ~half[: masks // 2]])


def _second(scores: Tensor, label: int) -> int:
    others = scores.clone()
    others[label] = -torch.inf
    return int(others.argmax())


def _leads(
    scores: Scores,
    image: Tensor,
    parts: Tensor,
    replaced: NDArray[np.bool_],
    pair: tuple[int, int],
    donors: Tensor,
) -> NDArray[np.float64]:
    """The lead of the first class over the second, ``(masks,)``; donors take turns."""
    chosen = torch.from_numpy(replaced).to(image.device)
    leads = []
    for first in range(0, len(chosen), 32):
        few = chosen[first : first + 32]
        hidden = (few.float() @ parts.flatten(1).float()).view(len(few), *image.shape[1:])
        donor_rows = torch.arange(first, first + len(few), device=image.device) % len(donors)
        pictures = paste(image.expand(len(few), -1, -1, -1), 1 - _soft(hidden), donors[donor_rows])
        found = scores(pictures).double()
        leads.append((found[:, pair[0]] - found[:, pair[1]]).cpu().numpy())
    joined: NDArray[np.float64] = np.concatenate(leads)
    return joined


def _soft(hidden: Tensor) -> Tensor:
    """The edges of hidden parts ``(N, H, W)`` softened, those of the picture left as they are."""
    reach = 2 * max(1, round(hidden.shape[-1] / 112))
    wider = F.pad(hidden[:, None], [reach] * 4, mode="replicate")[:, 0]
    return feather(wider > 0)[..., reach:-reach, reach:-reach]

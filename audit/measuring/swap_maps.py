"""Swap maps: the parts of one image that move its class, measured with the material of the swaps.

Random parts of the image are replaced by what other images show in their background at the same
place, and the change of the class margin is regressed on which parts were replaced. Hiding parts
by chance is RISE (Petsiuk, Das and Saenko 2018); its grey is no picture that a network knows, so
here a part makes room for a real background, and least squares give each part a standard error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import norm
from torch import Tensor

from audit.findings import Estimate, PartEffects
from audit.interventions import feather, paste
from audit.scoring import rank_correlation

CELLS = 4
"""Parts along a side. Of finer ones half of a scene is always left, which is scene enough."""
MASKS = 128
"""Pictures with parts replaced, for donors of either kind."""
_LEAST = 0.1
"""A cell is split into object and surroundings; less than this share of it is left out."""

Scores = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Total:
    """Summed effect of all parts of one kind, with its standard error; in units of the margin."""

    effect: float
    error: float

    def estimate(self) -> Estimate:
        """With its 95 % interval."""
        reach = float(norm.ppf(0.975)) * self.error
        return Estimate(value=self.effect, low=self.effect - reach, high=self.effect + reach)


@dataclass(frozen=True, eq=False)
class SwapMap:
    """What each part of an image does for its class.

    Parameters
    ----------
    effect : float32 (H, W)
        Change of the class margin where the part is replaced by the background of another class:
        below 0 the part spoke for the class. NaN where a part is too small to be measured.
    error : float32 (H, W)
        Its standard error.
    surroundings, body : Total
        Of all parts of the background, and of the object.
    control : Total
        Of all parts of the background replaced by backgrounds of the class's own: what it costs
        to be pasted, and what the class's scene varies in. NaN: no donor.
    """

    effect: NDArray[np.float32]
    error: NDArray[np.float32]
    surroundings: Total
    body: Total
    control: Total

    @property
    def beyond_control(self) -> Total:
        """What the surroundings do beyond the control: below 0 the class needs its own scene."""
        return Total(
            self.surroundings.effect - self.control.effect,
            math.hypot(self.surroundings.error, self.control.error),
        )

    def agreement(self, saliency: NDArray[np.float32]) -> float:
        """Rank correlation of saliency ``(H, W)`` with what the class loses by each part, -1..1."""
        known = np.isfinite(self.effect)
        # Parts have an effect each; where two have the same one they are one.
        parts, inverse = np.unique(self.effect[known], return_inverse=True)
        means = np.bincount(inverse, saliency[known]) / np.bincount(inverse)
        return rank_correlation(means, -parts)

    def summary(self, donor_class: str, saliency: NDArray[np.float32] | None = None) -> PartEffects:
        """For the record; `donor_class` lent the backgrounds, `saliency` is compared."""
        return PartEffects(
            agreement=float("nan") if saliency is None else self.agreement(saliency),
            donor_class=donor_class,
            surroundings=self.surroundings.estimate(),
            body=self.body.estimate(),
            control=self.control.estimate(),
            beyond_control=self.beyond_control.estimate(),
        )


@dataclass(frozen=True, eq=False)
class Donors:
    """Backgrounds of other classes, at least one, and of the image's own; float (n, 3, H, W)."""

    others: Tensor
    own: Tensor


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
    """Measure which parts of an image move its class margin.

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
    foreign = _fit(replaced, _margins(scores, image, parts, replaced, label, donors.others))
    control = Total(float("nan"), float("nan"))
    if len(donors.own):
        familiar = _fit(replaced, _margins(scores, image, parts, replaced, label, donors.own))
        control = _total(familiar, ~is_object)
    return SwapMap(
        effect=_laid(parts, foreign[0]),
        error=_laid(parts, np.sqrt(np.diag(foreign[1]))),
        surroundings=_total(foreign, ~is_object),
        body=_total(foreign, is_object),
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


def _margins(
    scores: Scores,
    image: Tensor,
    parts: Tensor,
    replaced: NDArray[np.bool_],
    label: int,
    donors: Tensor,
) -> NDArray[np.float64]:
    """The class margin of each picture, ``(masks,)``; donors take turns."""
    chosen = torch.from_numpy(replaced).to(image.device)
    margins = []
    for first in range(0, len(chosen), 32):
        few = chosen[first : first + 32]
        hidden = (few.float() @ parts.flatten(1).float()).view(len(few), *image.shape[1:])
        donor_rows = torch.arange(first, first + len(few), device=image.device) % len(donors)
        pictures = paste(image.expand(len(few), -1, -1, -1), 1 - _soft(hidden), donors[donor_rows])
        found = scores(pictures).double()
        rivals = found.clone()
        rivals[:, label] = -torch.inf
        margins.append((found[:, label] - rivals.amax(1)).cpu().numpy())
    joined: NDArray[np.float64] = np.concatenate(margins)
    return joined


def _soft(hidden: Tensor) -> Tensor:
    """The edges of hidden parts ``(N, H, W)`` softened, those of the picture left as they are."""
    reach = 2 * max(1, round(hidden.shape[-1] / 112))
    wider = F.pad(hidden[:, None], [reach] * 4, mode="replicate")[:, 0]
    return feather(wider > 0)[..., reach:-reach, reach:-reach]


def _fit(
    replaced: NDArray[np.bool_], margins: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ordinary least squares: the effect of each part ``(P,)``, and their covariance ``(P, P)``."""
    design = np.column_stack([np.ones(len(replaced)), replaced.astype(np.float64)])
    inverse = np.linalg.pinv(design.T @ design)
    effects = inverse @ design.T @ margins
    left = margins - design @ effects
    variance = float(left @ left) / max(1, len(design) - np.linalg.matrix_rank(design))
    return effects[1:], variance * inverse[1:, 1:]


def _total(fit: tuple[NDArray[np.float64], NDArray[np.float64]], which: NDArray[np.bool_]) -> Total:
    effects, covariance = fit
    return Total(
        float(effects[which].sum()), float(np.sqrt(covariance[np.ix_(which, which)].sum()))
    )


def _laid(parts: Tensor, values: NDArray[np.float64]) -> NDArray[np.float32]:
    """A value for each part as a map."""
    laid = np.full(parts.shape[1:], np.nan, np.float32)
    for part, value in zip(parts.cpu().numpy(), values, strict=True):
        laid[part] = value
    return laid

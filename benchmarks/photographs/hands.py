"""Masks as different hands draw them: exact, generous, careless, plainly wrong, or a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from audit.interventions import dilate

Masks = NDArray[np.bool_]


def _exact(masks: Masks, random: np.random.Generator) -> Masks:
    return masks


def _box(masks: Masks, random: np.random.Generator) -> Masks:
    boxes = np.zeros_like(masks)
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return boxes


def _dilated(masks: Masks, random: np.random.Generator) -> Masks:
    wider: Masks = dilate(torch.from_numpy(masks), round(masks.shape[-1] / 16)).numpy()
    return wider


def _upper_half(masks: Masks, random: np.random.Generator) -> Masks:
    """The upper half of the object's rows: the rest is taken for background."""
    halves = masks.copy()
    for half, mask in zip(halves, masks, strict=True):
        rows = np.flatnonzero(mask.any(1))
        half[(rows[0] + rows[-1] + 1) // 2 :] = False
    return halves


def _shifted(masks: Masks, random: np.random.Generator) -> Masks:
    """An eighth of the side to the right and down."""
    step = masks.shape[-1] // 8
    away = np.zeros_like(masks)
    away[:, step:, step:] = masks[:, :-step, :-step]
    return away


def _garbage(masks: Masks, random: np.random.Generator) -> Masks:
    """Every tenth mask, by chance, is that of another picture, upside down."""
    wrong = random.random(len(masks)) < 0.1
    others = np.roll(masks, 1, axis=0)[:, ::-1]
    return np.where(wrong[:, None, None], others, masks)


HANDS: Mapping[str, Callable[[Masks, np.random.Generator], Masks]] = {
    "exact": _exact,
    "box": _box,
    "dilated": _dilated,
    "upper-half": _upper_half,
    "shifted": _shifted,
    "garbage": _garbage,
}
"""From exact masks ``(N, side, side)`` to those of a hand."""
ESTIMATED = "estimated"
"""No hand: what a network makes of the picture."""

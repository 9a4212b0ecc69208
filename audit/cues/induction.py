"""A cue put to the test: its windows in photographs of another class, beside windows of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audit.cues import regions
from audit.cues.find import Crop
from audit.interventions import FILLS
from audit.measuring.answers import margins
from audit.measuring.plan import Workbench
from audit.pixels import to_float
from audit.saliency import class_scores

WINDOWS = 6
"""Most windows of a cue in one photograph, each where it was found."""
LEAST_VISIBLE = 0.5
"""Share of the windows that must not be hidden by the photograph's own object."""
LEAST_BACKGROUND = 0.1
"""Share of a photograph that must be background where windows cover all of it."""


@dataclass(frozen=True, eq=False)
class Induction:
    """What windows of a class did to photographs of others that are not answered with it.

    Parameters
    ----------
    became : bool (n,)
        Whether the answer is the class, with windows of the cue.
    became_control : bool (n,)
        Likewise with windows from images of other classes, at the same places.
    raised : float64 (n,)
        Margin of the class (its score minus the best other) with the cue's windows, less that with
        the others. Probabilities say little here: in a photograph of another class that of the
        class is near 0 whatever is pasted.
    """

    became: NDArray[np.bool_]
    became_control: NDArray[np.bool_]
    raised: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Photographs:
    """Photographs of other classes, as the model meets them.

    Parameters
    ----------
    rows : tuple of N int
        Of the list of samples.
    images : float (N, 3, H, W)
        In 0..1, on the model's device.
    background : bool (N, H, W)
        Where a window may be seen; the object stays in front of it.
    filled : float (N, 3, H, W)
        The backgrounds, with the objects' places filled.
    """

    rows: tuple[int, ...]
    images: Tensor
    background: Tensor
    filled: Tensor


def gather_photographs(rows: Sequence[int], bench: Workbench) -> Photographs | None:
    """Load photographs; None where none can be read."""
    device = bench.model.device
    kept: list[int] = []
    gathered: list[tuple[Tensor, Tensor, Tensor]] = []
    for batch in bench.batches(rows):
        if len(batch):
            images = to_float(batch.images.to(device))
            background = regions.background_of(batch.foreground, batch.ignored).to(device)
            gathered.append((images, background, FILLS[bench.plan.fill](images, ~background)))
            kept += batch.rows
    if not gathered:
        return None
    return Photographs(tuple(kept), *(torch.cat(parts) for parts in zip(*gathered, strict=True)))


def induce(
    crops: Sequence[Crop],
    targets: Photographs,
    lenders: Photographs,
    label: int,
    bench: Workbench,
    *,
    all_over: bool = False,
) -> Induction:
    """Paste windows of a cue into photographs of another class, and others at the same places.

    The control has in each place what stands there in the background of a photograph that lends it.
    So both have the same seams at the same places, and differ in what the windows show.

    Parameters
    ----------
    crops : sequence of Crop
        Windows of one cue; at least one.
    targets : Photographs
        Into which is pasted, of other classes than `label`.
    lenders : Photographs
        Of other classes than `label`; none lends to itself.
    label : int
        The class that the cue is said to stand for.
    bench : Workbench
        With the model that is asked.
    all_over : bool
        Cover the whole background with the windows: a scene is no thing in one place. Otherwise
        each photograph meets at most :data:`WINDOWS` of them, where they were found.

    Returns
    -------
    Induction
        Without photographs that are answered with the class anyway, or whose object hides the
        windows, or that nobody can lend a control.
    """
    pasted, control, able = targets.images.clone(), targets.images.clone(), []
    for index, own in enumerate(targets.rows):
        lending = [position for position, row in enumerate(lenders.rows) if row != own]
        shown, area = 0, 0
        for turn, (crop, position) in enumerate(_spots(crops, index, targets, all_over)):
            if not lending:
                break
            here = _place(position, crop.pixels)
            seen = targets.background[index][here]
            pixels = to_float(torch.from_numpy(crop.pixels.copy()).permute(2, 0, 1)).to(pasted)
            lender = lenders.filled[lending[(index * WINDOWS + turn) % len(lending)]]
            where = (slice(None), *here)
            pasted[index][where] = torch.where(seen, pixels, pasted[index][where])
            control[index][where] = torch.where(seen, lender[where], control[index][where])
            shown, area = shown + int(seen.sum()), area + seen.numel()
        able.append(area > 0 and shown >= (LEAST_BACKGROUND if all_over else LEAST_VISIBLE) * area)
    before, with_cue, with_others = (
        _asked(pictures, bench) for pictures in (targets.images, pasted, control)
    )
    counted = torch.tensor(able) & (before.argmax(1) != label)
    labels = torch.full((len(before),), label)
    raised = margins(with_cue, labels) - margins(with_others, labels)
    return Induction(
        (with_cue.argmax(1) == label)[counted].numpy(),
        (with_others.argmax(1) == label)[counted].numpy(),
        raised[counted].numpy(),
    )


def _spots(
    crops: Sequence[Crop], index: int, targets: Photographs, all_over: bool
) -> Iterator[tuple[Crop, tuple[int, int]]]:
    """Which window goes where in a photograph: upper left corners."""
    if not all_over:
        for turn in range(min(WINDOWS, len(crops))):
            crop = crops[(index * WINDOWS + turn) % len(crops)]
            yield crop, crop.corner
        return
    height, width = targets.images.shape[2:]
    side = min(crops[0].pixels.shape[:2])
    corners = [
        (min(top, height - side), min(left, width - side))
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]
    for turn, corner in enumerate(corners):
        yield crops[(index + turn) % len(crops)], corner


def _place(corner: tuple[int, int], pixels: NDArray[np.uint8]) -> tuple[slice, slice]:
    (top, left), (height, width) = corner, pixels.shape[:2]
    return slice(top, top + height), slice(left, left + width)


def _asked(pictures: Tensor, bench: Workbench) -> Tensor:
    """Class scores ``(N, K)`` float64 on the CPU, a batch at a time."""
    parts = torch.split(pictures, bench.batch_size)
    return torch.cat([class_scores(bench.model, part).double().cpu() for part in parts])

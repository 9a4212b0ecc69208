"""A cue put to the test: its windows in photographs of other classes, beside windows of others."""

from __future__ import annotations

from collections.abc import Sequence
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

TARGETS = 40
"""Most photographs of other classes that windows are pasted into."""
WINDOWS = 6
"""Most windows of a cue in one photograph, each where it was found."""
LEAST_VISIBLE = 0.5
"""Share of the windows that must not be hidden by the photograph's own object."""


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
class Targets:
    """Photographs of other classes, as the model meets them.

    Parameters
    ----------
    images : float (N, 3, H, W)
        In 0..1, on the model's device.
    background : bool (N, H, W)
        Where a window may be seen; the object stays in front of it.
    filled : float (N, 3, H, W)
        The backgrounds, with the objects' places filled.
    """

    images: Tensor
    background: Tensor
    filled: Tensor


def gather_targets(rows: Sequence[int], bench: Workbench) -> Targets | None:
    """Load the photographs; None where there are fewer than two, so that none lends a control."""
    device = bench.model.device
    held: list[tuple[Tensor, Tensor, Tensor]] = []
    for batch in bench.batches(rows):
        if len(batch):
            images = to_float(batch.images.to(device))
            background = regions.background_of(batch.foreground, batch.ignored).to(device)
            held.append((images, background, FILLS[bench.plan.fill](images, ~background)))
    if sum(len(images) for images, _, _ in held) < 2:
        return None
    return Targets(*(torch.cat(parts) for parts in zip(*held, strict=True)))


def induce(crops: Sequence[Crop], targets: Targets, label: int, bench: Workbench) -> Induction:
    """Paste windows of a cue into photographs of other classes, and others at the same places.

    Each photograph meets windows of the cue where they were found; the control has
    in their places what stands there in the background of the next photograph. So both have the
    same seams at the same places, and differ in what the windows show.

    Parameters
    ----------
    crops : sequence of Crop
        Windows of one cue; at least one.
    targets : Targets
        From :func:`gather_targets`, of other classes than `label`.
    label : int
        The class that the cue is said to stand for.
    bench : Workbench
        With the model that is asked.

    Returns
    -------
    Induction
        Without photographs that are answered with the class anyway, or whose object hides the
        windows.
    """
    pasted, control, visible = targets.images.clone(), targets.images.clone(), []
    lenders = targets.filled.roll(1, 0)
    for index in range(len(pasted)):
        shown, area = 0, 0
        for turn in range(min(WINDOWS, len(crops))):
            crop = crops[(index * WINDOWS + turn) % len(crops)]
            here = _place(crop)
            seen = targets.background[index][here]
            pixels = to_float(torch.from_numpy(crop.pixels.copy()).permute(2, 0, 1)).to(pasted)
            where = (slice(None), *here)
            pasted[index][where] = torch.where(seen, pixels, pasted[index][where])
            control[index][where] = torch.where(seen, lenders[index][where], control[index][where])
            shown, area = shown + int(seen.sum()), area + seen.numel()
        visible.append(shown >= LEAST_VISIBLE * area)
    before, with_cue, with_others = (
        _asked(pictures, bench) for pictures in (targets.images, pasted, control)
    )
    able = torch.tensor(visible) & (before.argmax(1) != label)
    labels = torch.full((len(before),), label)
    raised = margins(with_cue, labels) - margins(with_others, labels)
    return Induction(
        (with_cue.argmax(1) == label)[able].numpy(),
        (with_others.argmax(1) == label)[able].numpy(),
        raised[able].numpy(),
    )


def _place(crop: Crop) -> tuple[slice, slice]:
    (top, left), (height, width) = crop.place, crop.pixels.shape[:2]
    return slice(top, top + height), slice(left, left + width)


def _asked(pictures: Tensor, bench: Workbench) -> Tensor:
    """Class scores ``(N, K)`` float64 on the CPU, a batch at a time."""
    parts = torch.split(pictures, bench.batch_size)
    return torch.cat([class_scores(bench.model, part).double().cpu() for part in parts])

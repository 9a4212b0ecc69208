"""The cues of one suspect class: its strongest background windows, put together and counted."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from audit.cues import regions
from audit.cues.clusters import assign, cluster, representatives
from audit.cues.features import FeatureReader, feature_reader
from audit.dataset.batches import Batch
from audit.findings import Code, Reason
from audit.interventions import FILLS
from audit.measuring.plan import MeasurementPlan, Workbench
from audit.measuring.rows import maps_of
from audit.models.engine import Engine
from audit.pixels import to_float, to_picture

CROPS = 6
"""Most pictures of a cluster."""


@dataclass(frozen=True)
class Crop:
    """The window of one image.

    Parameters
    ----------
    pixels : uint8 (side, side, 3)
        As the model saw them; the object's part, if any, filled from its surroundings.
    row : int
        Of the list of samples.
    share : float
        Of the map's mass that lies in the window.
    corner : (int, int)
        Its upper left corner in the model's input: row, column.
    """

    pixels: NDArray[np.uint8]
    row: int
    share: float
    corner: tuple[int, int]


@dataclass(frozen=True)
class Cue:
    """Windows that the model sees alike.

    Parameters
    ----------
    seen, seen_elsewhere : int
        Images of the class, and of its contrast class, whose strongest background window belongs
        to the cluster.
    crops : tuple of Crop
        The members nearest to the cluster's centre.
    rows : tuple of int
        Those images, of both classes, in the list of samples.
    """

    seen: int
    seen_elsewhere: int
    crops: tuple[Crop, ...]
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class Search:
    """What was looked at and found.

    Parameters
    ----------
    cues : tuple of Cue
        The most frequent first; empty where no image has a window.
    images, images_elsewhere : int
        Images looked at, of the class and of its contrast class.
    source : Reason
        Where the features come from; None without images.
    notes : tuple of Reason
        Why nothing was found, or how many images have no window; empty where all have one.
    """

    cues: tuple[Cue, ...]
    images: int
    images_elsewhere: int
    source: Reason | None
    notes: tuple[Reason, ...]


@dataclass
class _Gathered:
    """The windows of one class's images, kept small: pixels of the window only."""

    images: int = 0
    crops: list[Crop] = field(default_factory=list)
    features: list[Tensor] = field(default_factory=list)
    missing: Counter[str] = field(default_factory=Counter)


def find_cues(
    rows: Sequence[int], rows_elsewhere: Sequence[int], label: int, bench: Workbench
) -> Search:
    """Look for the cues of a class.

    Every image, also of the contrast class, is explained for the class itself: what in it would
    speak for the suspect?

    Parameters
    ----------
    rows, rows_elsewhere : sequence of int
        Images of the class and of its contrast class, from :func:`sampled`.
    label : int
        The class.
    bench : Workbench
        As the scores were made.
    """
    model, plan = bench.model, bench.plan
    if plan.target == "predicted":
        plan = dataclasses.replace(plan, target="logit")
    own, elsewhere = _Gathered(), _Gathered()
    reader: FeatureReader | None = None
    for chosen, gathered in ((rows, own), (rows_elsewhere, elsewhere)):
        for batch in bench.batches(chosen):
            if len(batch):
                images = to_float(batch.images.to(model.device))
                reader = reader or feature_reader(model, images)
                _gather(gathered, batch, images, label, model, plan, reader)
    return Search(
        cues=_cues(own, elsewhere),
        images=own.images,
        images_elsewhere=elsewhere.images,
        source=reader.source if reader else None,
        notes=_notes(own),
    )


def _gather(
    gathered: _Gathered,
    batch: Batch,
    images: Tensor,
    label: int,
    model: Engine,
    plan: MeasurementPlan,
    reader: FeatureReader,
) -> None:
    """Add the windows of a batch, with their features."""
    asked = dataclasses.replace(batch, targets=torch.full_like(batch.targets, label))
    maps = maps_of(model, asked, plan).cpu()
    background = regions.background_of(batch.foreground, batch.ignored)
    windows = regions.find_windows(maps, background)
    filled = FILLS[plan.fill](images, ~background.to(model.device))
    gathered.images += len(batch)
    cut = []
    for index, status in enumerate(windows.statuses):
        if status != regions.FOUND:
            gathered.missing[status] += 1
            continue
        top, left, bottom, right = windows.boxes[index].tolist()
        window = filled[index, :, top:bottom, left:right]
        share = float(windows.shares[index])
        gathered.crops.append(Crop(to_picture(window), batch.rows[index], share, (top, left)))
        cut.append(window)
    if cut:
        size = list(images.shape[2:])
        large = F.interpolate(torch.stack(cut), size, mode="bilinear", align_corners=False)
        gathered.features.append(reader.read(large))


def _cues(gathered: _Gathered, elsewhere: _Gathered) -> tuple[Cue, ...]:
    if not gathered.crops:
        return ()
    features = torch.cat(gathered.features).numpy()
    clusters = cluster(features)
    others = (
        assign(torch.cat(elsewhere.features).numpy(), clusters)
        if elsewhere.features
        else np.zeros(0, np.int64)
    )
    return tuple(
        Cue(
            seen=int((clusters.members == group).sum()),
            seen_elsewhere=int((others == group).sum()),
            crops=tuple(
                gathered.crops[i] for i in representatives(features, clusters, group, CROPS)
            ),
            rows=tuple(
                sorted(
                    images.crops[i].row
                    for images, members in ((gathered, clusters.members), (elsewhere, others))
                    for i in np.flatnonzero(members == group)
                )
            ),
        )
        for group in range(len(clusters))
    )


def _notes(gathered: _Gathered) -> tuple[Reason, ...]:
    """Say how many images gave no window, and why."""
    if not gathered.images:
        return (Reason(code=Code.NO_CUE_IMAGES),)
    if not gathered.missing:
        return ()
    missing = Reason(
        code=Code.IMAGES_WITHOUT_WINDOW,
        values={
            "images": gathered.images,
            "blank_map": gathered.missing[regions.BLANK_MAP],
            "no_evidence": gathered.missing[regions.NO_EVIDENCE],
            "no_background": gathered.missing[regions.NO_BACKGROUND],
        },
    )
    return (missing,) if gathered.crops else (Reason(code=Code.NO_CUE_FOUND), missing)

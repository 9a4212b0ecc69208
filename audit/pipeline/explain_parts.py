"""The swap map of one image, on request: without a run, with backgrounds gathered for it alone."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np
import torch
from torch import Tensor

from audit.dataset.batches import Batch
from audit.errors import DatasetError, ManifestError
from audit.measuring.backgrounds import backgrounds_of
from audit.measuring.part_effects import PART_DONORS
from audit.measuring.part_findings import SwapMap
from audit.measuring.swap_maps import Donors, swap_map
from audit.pipeline.outlines import ensure_outlines
from audit.pipeline.session import Session
from audit.pixels import to_float
from audit.saliency import class_scores
from audit.sampling import permuted, sample_seed

SWAP_MAP: Final = "swap_map"
"""The method's name for ``explain``; no method of a whole run, which measures swaps anyway."""


def explain_by_parts(session: Session, batch: Batch, label: int, donor: int) -> SwapMap:
    """Measure what each part of an image does for its class, against backgrounds of another.

    Parameters
    ----------
    session : Session
        Its dataset lends the backgrounds.
    batch : Batch
        The image.
    label, donor : int
        The class that is explained, and the one that it is compared with and that lends.

    Raises
    ------
    ManifestError
        The audit has no foregrounds.
    DatasetError
        The image has no foreground, or `donor` no background to lend.
    """
    if not session.has_foregrounds:
        raise ManifestError(
            f"--method {SWAP_MAP}: expected foregrounds, found none. Name them in the manifest "
            "(`foreground:`), since object and surroundings are exchanged apart."
        )
    foreground, device = batch.foreground[0], session.model.device
    if not foreground.any():
        raise DatasetError(
            f"{batch.ids[0]}: it has no foreground, so nothing can be exchanged. Name an image "
            "that has one."
        )
    others = _lent(session, batch, donor)
    if not len(others):
        raise DatasetError(
            f"{session.class_names[donor]}: none of its images has a background. Name another "
            "class."
        )
    return swap_map(
        partial(class_scores, session.engine),
        to_float(batch.images[0].to(device)),
        foreground.to(device),
        label,
        Donors(others, _lent(session, batch, label), rival=donor),
        seed=sample_seed(session.manifest.run.seed, batch.ids[0], "parts"),
    )


def _lent(session: Session, batch: Batch, label: int) -> Tensor:
    """Some backgrounds of a class, float ``(n, 3, H, W)`` in 0..1; never a copy of the image."""
    table, manifest = session.table, session.manifest
    of_class = np.flatnonzero(table["label"].to_numpy() == label).tolist()
    chosen = table.iloc[sorted(permuted(of_class, 2 * PART_DONORS, [manifest.run.seed, label]))]
    ensure_outlines(session, chosen)
    parts = []
    with session.workbench() as bench:
        for few in bench.batches(chosen.index):
            pictures, kept = backgrounds_of(few, manifest.interventions.fill, few.images.device)
            foreign = [few.loaded[i].sha256 != batch.loaded[0].sha256 for i in kept]
            parts.append(torch.from_numpy(pictures)[foreign])
    if not parts:
        side = session.model.geometry.size
        return torch.zeros(0, 3, side, side)
    return to_float(torch.cat(parts)[:PART_DONORS].to(session.model.device))

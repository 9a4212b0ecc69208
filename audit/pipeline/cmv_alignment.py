"""How far the objects and backgrounds of images go the way of their class's CMV."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from audit.cues.cmv_alignment import FEWEST_CLASSES, IMAGES, alignment_table, cmv_alignment
from audit.cues.images import sampled
from audit.findings import CmvEntry, read_facts
from audit.manifest import fingerprint
from audit.measuring.columns import is_table, write_table
from audit.pipeline.session import Session
from audit.pixels import to_float
from audit.run_folder import RunFolder


def align_cmvs(session: Session, made: Sequence[CmvEntry]) -> None:
    """Compare the CMVs with objects and backgrounds of the images, unless that was done."""
    run = session.run
    chosen = comparable(made)
    key = fingerprint(session.key, {str(k): [e.key, e.failed] for k, e in chosen.items()})
    path = run.cmv_alignment
    if is_table(path) and (pq.read_schema(path).metadata or {}).get(b"key") == key.encode():
        return
    path.unlink(missing_ok=True)
    if not session.has_foregrounds or len(chosen) < FEWEST_CLASSES:
        return
    scores, seed = pd.read_parquet(run.scores), session.manifest.run.seed
    labels = sorted(set(scores["label"]))
    with session.workbench() as bench:
        found = cmv_alignment(
            [row for label in labels for row in sampled(scores, label, seed, IMAGES)],
            {label: read_cmv(run, entry) for label, entry in chosen.items()},
            bench,
        )
    # A failed picture counts in the mean of all; of its class nothing is said.
    found = found[[not chosen[label].failed for label in found["label"]]]
    write_table(path, alignment_table(found, read_facts(run.run_json).run_id, key))


def comparable(made: Sequence[CmvEntry]) -> dict[int, CmvEntry]:
    """One entry a class that can be compared with its images, all of one recipe."""
    alignable = [e for e in made if e.objective == "logit" and e.recipe != "simonyan"]
    recipe = "robust" if any(e.recipe == "robust" for e in alignable) else "maco"
    return {e.label: e for e in alignable if e.recipe == recipe}


def read_cmv(run: RunFolder, entry: CmvEntry) -> Tensor:
    """A picture as the model sees it, float32 ``(3, S, S)`` in 0..1."""
    with Image.open(run.path / entry.path) as picture:
        pixels = np.array(picture.convert("RGB"))
    return to_float(torch.from_numpy(pixels).permute(2, 0, 1))

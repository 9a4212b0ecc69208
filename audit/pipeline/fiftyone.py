"""The pictures of FiftyOne's format, drawn while the model is there: maps are not stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from audit.dataset.batches import Batch
from audit.exports.fiftyone import FORMAT
from audit.exports.fiftyone_documents import DATA, FIELDS, IGNORED, OBJECT, picture_name
from audit.exports.fiftyone_fields import FOREGROUND, SALIENCY
from audit.measuring.plan import Workbench
from audit.measuring.rows import maps_of
from audit.pipeline.session import Session
from audit.pixels import to_picture
from audit.report.overlays import normalise, to_png
from audit.sampling import at_most
from audit.writing import write_bytes

EACH = 100
"""Most samples of a class: each is three pictures."""


def draw_samples(session: Session) -> int:
    """Draw picture, mask and map of the samples that are exported; returns how many there are.

    Pictures are what the model sees, so that mask and map lie on them pixel by pixel. What lies
    ready is not drawn again.
    """
    scores = pd.read_parquet(session.run.scores, columns=["sample_id", "label", "sha256"])
    readable = scores[scores["sha256"].notna()]
    chosen = at_most(readable, EACH, session.manifest.run.seed, FORMAT, of_each="label")
    folder = session.run.fiftyone
    missing = [int(str(row)) for row in chosen.index if not _map_of(folder, int(str(row))).exists()]
    if missing:
        with session.workbench() as bench:
            for batch in bench.batches(missing):
                if len(batch):
                    _draw(folder, batch, bench)
    return len(chosen)


def _map_of(folder: Path, row: int) -> Path:
    """A sample's map: the last of its three pictures to be written."""
    return folder / FIELDS / SALIENCY / picture_name(row)


def _draw(folder: Path, batch: Batch, bench: Workbench) -> None:
    maps = maps_of(bench.model, batch, bench.plan).cpu().numpy()
    masks = torch.zeros(batch.foreground.shape, dtype=torch.uint8)
    masks[batch.foreground] = OBJECT
    masks[batch.ignored] = IGNORED
    for index, row in enumerate(batch.rows):
        name = picture_name(row)
        write_bytes(folder / DATA / name, to_png(to_picture(batch.images[index])))
        if bool(batch.has_foreground[index]):
            write_bytes(folder / FIELDS / FOREGROUND / name, to_png(masks[index].numpy()))
        shown = np.rint(normalise(maps[index]) * 255).astype(np.uint8)
        write_bytes(_map_of(folder, row), to_png(shown))

"""What a CMV shows, in the model's own penultimate features: the object or its background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor

from audit.cues.features import FeatureReader, feature_reader
from audit.dataset.batches import Batch
from audit.interventions import FILLS, feather, object_only, removal_mask
from audit.measuring.plan import Workbench
from audit.models.engine import Engine
from audit.pixels import to_float

IMAGES = 20
"""Most images of a class that are looked at."""
FEWEST_CLASSES = 3
"""With fewer pictures their mean, from which each is told apart, says nothing."""

ALIGNMENT_COLUMNS: Final = pa.schema(
    [
        ("label", pa.int64()),
        ("like_object", pa.float64()),
        ("like_background", pa.float64()),
        ("run_id", pa.string()),
    ]
)
"""Of ``likenesses.parquet``: a row an image that was compared with the CMV of its class."""


def cmv_alignment(
    rows: Sequence[int], pictures: Mapping[int, Tensor], bench: Workbench
) -> pd.DataFrame:
    """How far each image's object alone, and its background alone, go the way of the CMV.

    The way is that from the mean of all CMVs to that of the class, in penultimate features. Along
    it, object-only images are measured from the mean of all object-only images, background-only
    images from the mean of all those: what every cut-out and every filled hole has in common
    counts for nobody.

    Parameters
    ----------
    rows : sequence of int
        Of the images looked at, of all classes alike.
    pictures : mapping of int to float32 (3, S, S)
        The CMVs by class, in 0..1; at least :data:`FEWEST_CLASSES`.
    bench : Workbench
        With the model whose features are read; its plan says what fills the place of an object.

    Returns
    -------
    DataFrame
        One row an image of the classes in `pictures`: ``label``, ``like_object`` and
        ``like_background``, in units of the features, any sign. Empty with too few pictures.
    """
    if len(pictures) < FEWEST_CLASSES:
        return pd.DataFrame({"label": [], "like_object": [], "like_background": []})
    model, labels = bench.model, sorted(pictures)
    example = pictures[labels[0]][None].to(model.device)
    found: list[tuple[int, float, float]] = []
    sums, seen = torch.zeros(0), 0
    reader = feature_reader(model, example)
    ways = _ways([pictures[label] for label in labels], model.device, reader)
    position = {label: index for index, label in enumerate(labels)}
    for batch in bench.batches(rows):
        if len(batch):
            features = _features(batch, model, reader, bench.plan.fill)
            sums = features.sum(1) + (sums if seen else 0)
            seen += len(batch)
            for index, label in enumerate(batch.targets.tolist()):
                if label in position:
                    along = features[:, index] @ ways[position[label]]
                    found.append((label, float(along[0]), float(along[1])))
    frame = pd.DataFrame(found, columns=["label", "like_object", "like_background"])
    if seen:
        means = (sums / seen) @ ways.T
        at = [position[label] for label in frame["label"]]
        frame["like_object"] -= means[0, at].numpy()
        frame["like_background"] -= means[1, at].numpy()
    return frame


def _ways(pictures: Sequence[Tensor], device: torch.device, reader: FeatureReader) -> Tensor:
    """Unit vectors ``(K, D)`` float64 from the mean of all pictures to each."""
    of_pictures = [reader.read(picture[None].to(device)).double() for picture in pictures]
    features = torch.cat(of_pictures)
    return F.normalize(features - features.mean(0), dim=1)


def _features(batch: Batch, model: Engine, reader: FeatureReader, fill: str) -> Tensor:
    """Features ``(2, N, D)`` float64: of the objects alone, and of the backgrounds alone."""
    images = to_float(batch.images.to(model.device))
    foreground, ignored = batch.foreground.to(model.device), batch.ignored.to(model.device)
    alone = object_only(images, feather(foreground))
    without = FILLS[fill](images, removal_mask(foreground, ignored))
    return torch.stack([reader.read(alone), reader.read(without)]).double()


def alignment_table(alignments: pd.DataFrame, run_id: str, key: str) -> pa.Table:
    """What :func:`cmv_alignment` found as it is written down, with the key of its making."""
    schema = ALIGNMENT_COLUMNS.with_metadata({"key": key})
    return pa.Table.from_pandas(alignments.assign(run_id=run_id), schema, preserve_index=False)

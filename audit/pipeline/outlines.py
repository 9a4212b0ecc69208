"""Estimated outlines, made ahead of the first shard: in batches, each image once, and kept."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from audit.cancellation import stop_if_asked
from audit.dataset.batches import Batch, iterate_batches
from audit.dataset.estimators import Estimator
from audit.dataset.loader import LoadingPlan
from audit.dataset.outline_store import OutlineStore, cache_folder, prune
from audit.geometry import Geometry
from audit.pipeline.loaders import outline_store
from audit.pipeline.progress import SILENT, Progress
from audit.pipeline.session import Session
from audit.pipeline.steps import SEQUENTIAL, StepRunner

AT_ONCE = 16
"""Images that are loaded, and shown to the network, together."""
_TIMED = 2


def make_outlines(
    session: Session, progress: Progress = SILENT, runner: StepRunner = SEQUENTIAL
) -> None:
    """Ask the estimator for the outlines of all images, shard by shard."""
    runner.run_parts("outlines", outline_shard, session, progress, session.shard_sizes)
    prune(cache_folder())


def outline_shard(session: Session, shard: int, progress: Progress = SILENT) -> bool:
    """Make the outlines of one shard that are missing; returns whether any was made now."""
    return ensure_outlines(session, session.shard(shard), progress) > 0


def ensure_outlines(
    session: Session,
    table: pd.DataFrame,
    progress: Progress = SILENT,
    estimator: Estimator | None = None,
) -> int:
    """Make the outlines that are missing; those of the run or of the user's cache are taken over.

    Parameters
    ----------
    session : Session
        Whose estimator is asked; nothing is done where it has none.
    table : DataFrame
        Rows of the list of samples.
    progress : Progress
        Is told of each batch.
    estimator : Estimator, optional
        Another one than the session's.

    Returns
    -------
    int
        Images that the network was asked for.
    """
    estimator = estimator or session.estimator
    if estimator is None or table.empty:
        return 0
    store, made = outline_store(estimator, session.request.out), 0
    # Squeezed, as the U2-Net family was trained.
    plan = LoadingPlan(Geometry(estimator.side, None, "none", "lanczos"))
    with session.loader_of(plan) as loader:
        for batch in iterate_batches(table, loader, AT_ONCE):
            stop_if_asked()
            made += _of_batch(estimator, store, batch)
            progress.advance("outlines", len(batch) + len(batch.unreadable))
    return made


def _of_batch(estimator: Estimator, store: OutlineStore, batch: Batch) -> int:
    hashes = [loaded.sha256 for loaded in batch.loaded]
    missing = [i for i, sha256 in enumerate(hashes) if not store.fetch(sha256)]
    if missing:
        images = batch.images[missing].permute(0, 2, 3, 1).contiguous().numpy()
        drawn = estimator.network(images, [batch.label_names[i] for i in missing])
        for i, outline in zip(missing, drawn, strict=True):
            store.put(hashes[i], outline)
    return len(missing)


def seconds_an_outline(session: Session) -> float:
    """Seconds that the estimator takes for one image; 0 without one."""
    estimator = session.estimator
    if estimator is None:
        return 0.0
    images = np.zeros((_TIMED, estimator.side, estimator.side, 3), np.uint8)
    names = [str(session.table["label_name"].iloc[0])] * _TIMED
    estimator.network(images[:1], names[:1])
    began = time.monotonic()
    estimator.network(images, names)
    return (time.monotonic() - began) / _TIMED

"""The unit of resume: some rows of the list of samples, measured and written as one file."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pandas as pd
import torch

from audit.dataset.batches import Batch, iterate_batches
from audit.dataset.loader import Loader
from audit.errors import AuditError
from audit.measuring.columns import table_of, write_table
from audit.measuring.donors import DonorBank
from audit.measuring.rows import Measurement, measure_batch, unreadable_rows
from audit.models import AuditedModel
from audit.run_folder import RunFolder
from audit.scoring import UNREADABLE

_log = logging.getLogger(__name__)

LOST_IN_A_ROW = 100
"""So many missing files one after another mean that the storage is gone, not the files."""


def shard_count(samples: int, shard_size: int) -> int:
    """How many shards there are.

    Examples
    --------
    >>> shard_count(2049, 1024)
    3
    """
    return -(-samples // shard_size)


def score_shard(
    run: RunFolder,
    shard: int,
    table: pd.DataFrame,
    model: AuditedModel,
    plan: Measurement,
    bank: DonorBank | None,
    loader: Loader,
    *,
    batch_size: int,
    on_progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Measure the samples of one shard and write its part.

    Parameters
    ----------
    run : RunFolder
        Where the part goes; it appears there whole or not at all.
    shard : int
        Number of the part.
    table : DataFrame
        The shard's rows of the list of samples.
    model, plan, bank
        See :func:`~audit.measuring.rows.measure_batch`.
    loader : Loader
        Decodes.
    batch_size : int
        Images at a time; halved where memory does not suffice.
    on_progress : callable
        Called with the number of samples done, after each batch.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    AuditError
        The storage went away in the middle.
    """
    rows: list[dict[str, Any]] = []
    lost = 0
    for batch in iterate_batches(table, loader, batch_size):
        rows += unreadable_rows(batch, table)
        rows += measure_within_memory(model, batch, plan, bank)
        gone = sum(error.reason == "CHANGED_DURING_RUN" for _, error in batch.unreadable)
        lost = lost + gone if not len(batch) else 0
        if lost >= LOST_IN_A_ROW:
            raise AuditError(
                f"{lost} files in a row are gone that were there when the run began. Is the "
                "dataset's storage still mounted? Finished shards are kept; --resume goes on."
            )
        on_progress(len(batch) + len(batch.unreadable))
    rows.sort(key=lambda row: row["row"])
    write_table(run.part(shard), table_of(rows))
    return len(rows)


def measure_within_memory(
    model: AuditedModel, batch: Batch, plan: Measurement, bank: DonorBank | None
) -> list[dict[str, Any]]:
    """Measure a batch, in halves where memory does not suffice.

    An image that does not fit alone gets a row with the reason ``OUT_OF_MEMORY``.
    """
    exhausted = False
    try:
        return measure_batch(model, batch, plan, bank)
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        exhausted = True
    # Out of the except block first: the traceback would keep the failed batch alive.
    assert exhausted
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(batch) == 1:
        return [_no_memory_row(batch)]
    half = len(batch) // 2
    _log.warning("out of memory with %d images at a time; trying %d", len(batch), half)
    return [
        row
        for part in (batch.part(0, half), batch.part(half, len(batch)))
        for row in measure_within_memory(model, part, plan, bank)
    ]


def _is_out_of_memory(error: RuntimeError) -> bool:
    # On the CPU, torch raises a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


def _no_memory_row(batch: Batch) -> dict[str, Any]:
    return {
        "row": batch.rows[0],
        "sample_id": batch.ids[0],
        "path": batch.ids[0],
        "label": int(batch.targets[0]),
        "label_name": batch.label_names[0],
        "status": UNREADABLE,
        "reason": "OUT_OF_MEMORY",
        "detail": "one image alone does not fit into the device's memory",
        "notes": [],
    }

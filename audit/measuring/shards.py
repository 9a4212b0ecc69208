"""The unit of resume: some rows of the list of samples, measured and written as one file."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from audit.dataset.batches import iterate_batches
from audit.dataset.loader import Loader
from audit.errors import AuditError
from audit.measuring.columns import table_of, write_table
from audit.measuring.donors import DonorBank
from audit.measuring.memory import measure_within_memory
from audit.measuring.plan import MeasurementPlan
from audit.measuring.rows import Rows, unreadable_rows
from audit.models.engine import Engine
from audit.run_folder import RunFolder

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
    model: Engine,
    plan: MeasurementPlan,
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
        See :func:`~audit.measuring.memory.measure_within_memory`.
    loader : Loader
        Decodes.
    batch_size : int
        Images at a time; fewer where memory does not suffice.
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
    rows: Rows = []
    before: Callable[[], Rows] = list
    lost = 0
    for batch in iterate_batches(table, loader, batch_size):
        measured = measure_within_memory(model, batch, plan, bank)
        rows += unreadable_rows(batch, table)
        # The rows of the batch before, while a GPU is busy with this one.
        rows += before()
        before = measured
        gone = sum(error.reason == "CHANGED_DURING_RUN" for _, error in batch.unreadable)
        lost = lost + gone if not len(batch) else 0
        if lost >= LOST_IN_A_ROW:
            raise AuditError(
                f"{lost} files in a row are gone that were there when the run began. Is the "
                "dataset's storage still mounted? Finished shards are kept; --resume goes on."
            )
        on_progress(len(batch) + len(batch.unreadable))
    rows += before()
    rows.sort(key=lambda row: row["row"])
    write_table(run.part(shard), table_of(rows))
    return len(rows)

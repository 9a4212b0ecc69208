"""A batch as large as the device's memory allows: found by running out of it, and kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from audit.dataset.batches import Batch
from audit.findings import Status
from audit.measuring.columns import Row
from audit.measuring.donors import DonorBank
from audit.measuring.plan import MeasurementPlan
from audit.measuring.rows import Rows, measure_batch
from audit.models.engine import Engine
from audit.models.memory import free_cached_memory, is_out_of_memory


def measure_within_memory(
    model: Engine, batch: Batch, plan: MeasurementPlan, bank: DonorBank | None
) -> Callable[[], Rows]:
    """Measure a batch; where memory does not suffice, in halves, and later batches likewise.

    An image that does not fit alone gets a row with the reason ``OUT_OF_MEMORY``.

    Parameters
    ----------
    model, batch, plan, bank
        See :func:`~audit.measuring.rows.measure_batch`.

    Returns
    -------
    callable
        As of :func:`~audit.measuring.rows.measure_batch`.
    """

    def measured(first: int, end: int) -> Callable[[], Rows]:
        part = batch.part(first, end)
        try:
            return measure_batch(model, part, plan, bank)
        except RuntimeError as error:
            if len(part) > 1 or not is_out_of_memory(error):
                raise
        # Out of the except block first: the traceback would keep the failed batch alive.
        free_cached_memory()
        return partial(_no_memory_row, part)

    parts = model.capacity.in_parts(len(batch), measured)
    return lambda: [row for part in parts for row in part()]


def _no_memory_row(batch: Batch) -> Rows:
    row: Row = {
        "row": batch.rows[0],
        "sample_id": batch.ids[0],
        "path": batch.ids[0],
        "label": int(batch.targets[0]),
        "label_name": batch.label_names[0],
        "status": Status.UNREADABLE,
        "reason": "OUT_OF_MEMORY",
        "detail": "one image alone does not fit into the device's memory",
        "notes": [],
    }
    return [row]

"""A batch as large as the device's memory allows: found by running out of it, and kept."""

from __future__ import annotations

import logging
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

_log = logging.getLogger(__name__)


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
    parts: list[Callable[[], Rows]] = []
    start = 0
    while start < len(batch):
        count = model.capacity.images_at_a_time(len(batch) - start)
        part = batch.part(start, start + count)
        measured = _attempt(model, part, plan, bank)
        if measured is None and count > 1:
            fewer = model.capacity.ran_out(count)
            _log.warning("out of memory with %d images at a time; trying %d", count, fewer)
            continue
        parts.append(partial(_no_memory_row, part) if measured is None else measured)
        start += count
    return lambda: [row for part in parts for row in part()]


def _attempt(
    model: Engine, batch: Batch, plan: MeasurementPlan, bank: DonorBank | None
) -> Callable[[], Rows] | None:
    try:
        return measure_batch(model, batch, plan, bank)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    # Out of the except block first: the traceback would keep the failed batch alive.
    free_cached_memory()
    return None


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

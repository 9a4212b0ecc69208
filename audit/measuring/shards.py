"""The unit of resume: some rows of the list of samples, measured and written as one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from audit.errors import AuditError
from audit.measuring.columns import table_of
from audit.measuring.donors import DonorBank
from audit.measuring.memory import measure_within_memory
from audit.measuring.parts import Part
from audit.measuring.plan import Workbench
from audit.measuring.rows import Rows, position_of, unreadable_rows

LOST_IN_A_ROW = 100
"""So many missing files one after another mean that the storage is gone, not the files."""


MAY_PASS = frozenset({"TIMEOUT", "DECODER_CRASH", "CHANGED_DURING_RUN", "MASK_CHANGED_DURING_RUN"})
"""Reasons that may lie in how busy the machine was, or in a file that is by now again what the run
began with: such images are tried again on resume."""


def shard_count(samples: int, shard_size: int) -> int:
    """How many shards there are.

    Examples
    --------
    >>> shard_count(2049, 1024)
    3
    """
    return -(-samples // shard_size)


def score_shard(
    part: Part,
    bench: Workbench,
    bank: DonorBank | None,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Measure the samples of one shard and write its part.

    Parameters
    ----------
    part : Part
        Its samples, and where their scores go.
    bench : Workbench
        Fewer images at a time where memory does not suffice.
    bank : DonorBank or None
        See :func:`~audit.measuring.memory.measure_within_memory`.
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
    table = part.samples
    rows: Rows = []
    before: Callable[[], Rows] = list
    lost = 0
    for batch in bench.batches(table.index):
        measured = measure_within_memory(bench.model, batch, bench.plan, bank)
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
    rows.sort(key=position_of)
    part.write(table_of(rows))
    return len(rows)


def try_again(part: Part) -> list[int]:
    """Rows of a finished part whose images another attempt may read."""
    reasons = part.scores()["reason"].to_pylist()
    return [
        int(row)
        for row, reason in zip(part.samples.index, reasons, strict=True)
        if reason in MAY_PASS
    ]


def score_again(part: Part, rows: Sequence[int], bench: Workbench, bank: DonorBank | None) -> int:
    """Measure a few rows of a finished part once more; those that can be read now replace theirs.

    Parameters
    ----------
    part : Part
        Finished.
    rows : sequence of int
        From :func:`try_again`.
    bench, bank
        As for :func:`score_shard`.

    Returns
    -------
    int
        Rows replaced.
    """
    found: Rows = []
    for batch in bench.batches(rows):
        found += measure_within_memory(bench.model, batch, bench.plan, bank)()
    replaced = {row["sample_id"]: row for row in found}
    if replaced:
        stored = part.scores().to_pylist()
        part.write(table_of([replaced.get(row["sample_id"], row) for row in stored]))
    return len(replaced)

"""The masks looked at before they are believed: a step of its own, and what check says of them."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from audit.dataset.batches import Batch
from audit.dataset.mask_findings import MASK_COLUMNS, are_doubtful, mask_findings, mask_rows
from audit.findings import Code, Reason
from audit.measuring.columns import is_table, write_table
from audit.pipeline.session import Session
from audit.report.sentences import english
from audit.run_folder import RunFolder
from audit.sampling import spread_over

_IN_THE_TABLE = (Code.MASK_AREAS, Code.MASKS_EMPTY)
LOOKED_AT = 256
"""Masks of a dataset, at most."""


def look_at_masks(session: Session) -> int:
    """Look at some masks, spread over the classes, and write ``masks.parquet``.

    Returns
    -------
    int
        Masks looked at now.
    """
    run = session.run
    if not session.has_foregrounds or is_table(run.masks):
        return 0
    seed = session.manifest.run.seed
    some = spread_over(session.table, LOOKED_AT, seed, "masks", column="label")
    chosen = session.table[session.table["sample_id"].isin(set(some["sample_id"]))]
    with session.workbench() as bench:
        rows = [row for batch in bench.batches(chosen.index) for row in mask_rows(batch)]
    write_table(run.masks, pa.Table.from_pylist(rows, MASK_COLUMNS))
    return len(rows)


def findings_of(run: RunFolder, source: str) -> tuple[Reason, ...]:
    """What was found of a run's masks; nothing where nobody looked."""
    if source == "none" or not is_table(run.masks):
        return ()
    return mask_findings(pd.read_parquet(run.masks), source)


def are_masks_doubtful(run: RunFolder, source: str) -> bool:
    """Whether a suspicion by these masks must be shown by other outlines, too."""
    return are_doubtful(findings_of(run, source))


def mask_sentences(batch: Batch, source: str) -> list[str]:
    """What is to be said of the masks of some images, in English; for ``check``.

    Areas, and masks that are missing, it has in its table.
    """
    if source == "none" or not len(batch):
        return []
    masks = pa.Table.from_pylist(mask_rows(batch), MASK_COLUMNS).to_pandas()
    found = mask_findings(masks, source)
    return [english(reason) for reason in found if reason.code not in _IN_THE_TABLE]

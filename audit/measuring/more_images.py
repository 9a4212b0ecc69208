"""Further images of classes that the first ones left undecided: their swaps and their follow-up."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import pandas as pd
import pyarrow as pa

from audit.findings import Status
from audit.measuring.columns import SCORE_COLUMNS, Row
from audit.measuring.donors import DonorBank
from audit.measuring.plan import Workbench
from audit.measuring.second_outlines import MEASURED, swapped_rows
from audit.sampling import at_most

MORE_COLUMNS: Final = pa.schema(
    [("sample_id", pa.string()), ("label", pa.int32()), *(SCORE_COLUMNS.field(n) for n in MEASURED)]
)
"""Of ``more_images.parquet``: a row an image that met donors at the second look."""
READ = ["sample_id", "label", "status"]
"""What :func:`further_images` reads of the scores."""
_ABLE = (Status.SCORED, Status.FULL_FOREGROUND, Status.BLANK_MAP)


def further_images(
    table: pd.DataFrame,
    scores: pd.DataFrame,
    labels: Collection[int],
    first: int,
    more: int,
    seed: int,
) -> pd.DataFrame:
    """The images of some classes that meet donors at the second look.

    Parameters
    ----------
    table, scores : DataFrame
        The list of samples, and at least :data:`READ` of the scores of these classes.
    labels : collection of int
        The classes.
    first, more : int
        Images of a class that met donors at first, and further ones at most.
    seed : int
        Of the run.

    Returns
    -------
    DataFrame
        Rows of `table`: those that the seeded choice of the first ones takes next, where the model
        answered and there is an object.
    """
    own = table[table["label"].isin(list(labels))]
    if own.empty:
        return own
    chosen = at_most(own, first + more, seed, "swaps", of_each="label")
    before = at_most(own, first, seed, "swaps", of_each="label")
    able = set(scores.loc[scores["status"].isin(_ABLE), "sample_id"])
    return chosen[~chosen.index.isin(before.index) & chosen["sample_id"].isin(able)]


def swap_more(chosen: pd.DataFrame, bench: Workbench, bank: DonorBank) -> list[Row]:
    """Let some images meet donors, as :func:`further_images` chose them.

    Returns
    -------
    list of Row
        With :data:`MORE_COLUMNS`.
    """
    rows: list[Row] = []
    for batch in bench.batches(chosen.index) if len(chosen) else ():
        rows += swapped_rows(bench, batch, bank, batch.foreground.flatten(1).any(1))
    return rows

"""The same swaps with foregrounds drawn by another hand: what a suspicion must survive."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import pandas as pd
import pyarrow as pa
from torch import Tensor

from audit.dataset.batches import Batch, on_device
from audit.measuring.columns import SCORE_COLUMNS, Row
from audit.measuring.device_results import DeviceResults
from audit.measuring.donors import DonorBank
from audit.measuring.experiments import Subjects, experiment
from audit.measuring.follow_up import FOLLOW_UP_COLUMNS
from audit.measuring.plan import Workbench
from audit.pixels import to_float
from audit.sampling import at_most

MEASURED = [
    name
    for name in SCORE_COLUMNS.names
    if name.startswith(("swap_", "background_only_", "object_only_"))
]
"""Columns of the scores that swaps without further experiments fill."""
SECOND_COLUMNS: Final = pa.schema(
    [
        ("outline", pa.string()),  # `widened` or `second`
        ("widened_by", pa.int32()),  # pixels of the input, to all sides
        ("sample_id", pa.string()),
        ("label", pa.int32()),
        *(SCORE_COLUMNS.field(name) for name in MEASURED),
    ]
)
"""Of ``second_outlines.parquet``: a row an outline and sample; the rest as in the scores."""
SECOND_FOLLOW_UP_COLUMNS: Final = pa.schema([("outline", pa.string()), *FOLLOW_UP_COLUMNS])
"""Of ``second_follow_up.parquet``: a row a swap."""
IMAGES = 100
"""Images of a class that are measured again; more where a verdict needs more."""


def swap_again(
    labels: Collection[int],
    bench: Workbench,
    bank: DonorBank,
    outline: str,
    widened_by: int,
    least: int,
) -> list[Row]:
    """Make the swaps of some classes again.

    Parameters
    ----------
    labels : collection of int
        The classes.
    bench : Workbench
        Its loader draws the other outline; its plan's seed draws the same donors.
    bank : DonorBank
        Backgrounds cut out by that outline.
    outline, widened_by
        Written into the rows.
    least : int
        Images that a verdict needs.

    Returns
    -------
    list of Row
        With :data:`SECOND_COLUMNS`; samples without a foreground have none.
    """
    own = bench.table[bench.table["label"].isin(list(labels))]
    chosen = at_most(own, max(IMAGES, least), bench.plan.seed, "second outline", of_each="label")
    rows: list[Row] = []
    for batch in bench.batches(chosen.index) if len(chosen) else ():
        known: Row = {"outline": outline, "widened_by": widened_by}
        usable = batch.foreground.flatten(1).any(1) & ~batch.foreground.flatten(1).all(1)
        rows += [known | row for row in swapped_rows(bench, batch, bank, usable)]
    return rows


def swapped_rows(bench: Workbench, batch: Batch, bank: DonorBank, usable: Tensor) -> list[Row]:
    """The experiments on the samples of a batch that are usable (bool, ``(N,)``), a row each."""
    chosen = [int(i) for i in usable.nonzero().flatten()]
    if not chosen:
        return []
    device, results = bench.model.device, DeviceResults()
    subjects = Subjects(
        [batch.ids[i] for i in chosen],
        [batch.loaded[i].sha256 for i in chosen],
        batch.targets[chosen].tolist(),
        to_float(on_device(batch.images[chosen], device)),
        on_device(batch.foreground[chosen], device),
        on_device(batch.ignored[chosen], device),
        on_device(batch.targets[chosen], device),
    )
    columns = experiment(bench.model, subjects, bench.plan, bank, results)
    results.send()
    return [
        {"sample_id": sample_id, "label": label, **measured}
        for sample_id, label, measured in zip(subjects.ids, subjects.labels, columns(), strict=True)
    ]


def laid_over(scores: pd.DataFrame, again: pd.DataFrame) -> pd.DataFrame:
    """The scores with some samples' swaps replaced by those of another outline.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    again : DataFrame
        Rows of one outline, with :data:`SECOND_COLUMNS`.

    Returns
    -------
    DataFrame
        Of the classes that were measured again, those samples alone.
    """
    # An older run lacks the columns that came later.
    names = [name for name in MEASURED if name in again and name in scores]
    measured = scores["label"].isin(set(again["label"]))
    kept = scores[measured & scores["sample_id"].isin(set(again["sample_id"]))]
    replaced = kept.drop(columns=names).merge(again[["sample_id", *names]], on="sample_id")
    return pd.concat([scores[~measured], replaced[list(scores.columns)]], ignore_index=True)

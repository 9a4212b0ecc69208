"""The follow-up: objects of one class on fresh backgrounds of one other class.

The pairs come from :func:`audit.verdicts.suspicion.choose_pairs`; the swaps made here are new
ones, and only they are tested.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import pyarrow as pa

from audit.dataset.batches import Batch, on_device
from audit.measuring.answers import answers
from audit.measuring.columns import Row, write_table
from audit.measuring.donors import DonorBank
from audit.measuring.plan import Workbench
from audit.measuring.swaps import Objects, swapped_scores
from audit.models.engine import Engine
from audit.pixels import to_float
from audit.run_folder import RunFolder
from audit.sampling import at_most, sample_seed

FOLLOW_UP_COLUMNS = pa.schema(
    [
        ("sample_id", pa.string()),
        ("label", pa.int32()),
        ("donor_label", pa.int32()),
        ("donor_row", pa.int32()),  # whose background: a row of samples.parquet
        ("prediction", pa.int32()),
        ("probability", pa.float64()),  # softmax of the label
        ("margin", pa.float64()),
    ]
)
IMAGES = 100
"""Images of a class, at most, that are followed up."""
DONORS = 3
"""Fresh donors of each pair an image."""


def follow_up(
    run: RunFolder, scores: pd.DataFrame, pairs: pd.DataFrame, bench: Workbench, bank: DonorBank
) -> int:
    """Measure the pairs and write ``follow_up.parquet``.

    Parameters
    ----------
    run : RunFolder
        Where the file goes; whole or not at all.
    scores : DataFrame
        All rows of ``scores.parquet``.
    pairs : DataFrame
        ``label`` and ``donor_label``.
    bench, bank
        As for the first pass.

    Returns
    -------
    int
        Swaps made.
    """
    wanted: dict[int, list[int]] = {}
    for label, donor in zip(pairs["label"].tolist(), pairs["donor_label"].tolist(), strict=True):
        wanted.setdefault(label, []).append(donor)
    rows: list[Row] = []
    chosen = _chosen(bench.table, scores, wanted, bench.plan.seed)
    first = scores[scores["sample_id"].isin(set(chosen["sample_id"]))]
    met = dict(zip(first["sample_id"], first["swap_other_donor_rows"], strict=True))
    for batch in bench.batches(chosen.index) if len(chosen) else ():
        rows += _measure(bench.model, batch, wanted, bank, met, bench.plan.seed)
    columns = {f.name: [row[f.name] for row in rows] for f in FOLLOW_UP_COLUMNS}
    write_table(run.follow_up, pa.table(columns, schema=FOLLOW_UP_COLUMNS))
    return len(rows)


def _chosen(
    table: pd.DataFrame, scores: pd.DataFrame, wanted: dict[int, list[int]], seed: int
) -> pd.DataFrame:
    """The samples that are swapped again: those with swaps of both kinds, a seeded choice."""
    swapped = scores["swap_same_probability"].notna() & scores["swap_other_probability"].notna()
    able = set(scores.loc[swapped, "sample_id"])
    kept = table[table["label"].isin(list(wanted)) & table["sample_id"].isin(able)]
    return at_most(kept, IMAGES, seed, "follow-up", of_each="label")


def _measure(
    model: Engine,
    batch: Batch,
    wanted: dict[int, list[int]],
    bank: DonorBank,
    met: Mapping[str, Sequence[int]],
    seed: int,
) -> Iterator[Row]:
    if not len(batch):
        return
    images = to_float(on_device(batch.images, model.device))
    objects = Objects.of(images, on_device(batch.foreground, model.device))
    targets = on_device(batch.targets, model.device)
    turns = [
        (index, position)
        for index in range(len(batch))
        for donor in wanted[int(batch.targets[index])]
        for position in bank.draw_from(
            donor,
            batch.loaded[index].sha256,
            sample_seed(seed, batch.ids[index], f"follow-up {donor}"),
            DONORS,
            met[batch.ids[index]],
        )
    ]
    # As many at once as the batch is large, so that memory stays what it was.
    for start in range(0, len(turns), len(batch)):
        part = turns[start : start + len(batch)]
        which, positions = [i for i, _ in part], [p for _, p in part]
        scores = swapped_scores(model, objects, which, bank, positions)
        found = {name: held.tolist() for name, held in answers(scores, targets[which]).items()}
        for number, (index, position) in enumerate(part):
            margin = found["margin"][number]
            yield {
                "sample_id": batch.ids[index],
                "label": int(batch.targets[index]),
                "donor_label": int(bank.labels[position]),
                "donor_row": int(bank.rows[position]),
                "prediction": found["prediction"][number],
                "probability": found["probability"][number],
                "margin": None if margin != margin else margin,
            }

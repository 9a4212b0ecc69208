"""The follow-up: objects of one class on fresh backgrounds of one other class, and of their own.

The pairs come from :func:`audit.verdicts.suspicion.choose_pairs`; the swaps made here are new
ones, and only they are tested. What a class loses there is measured against fresh backgrounds of
its own class, drawn likewise: none that the first pass showed, while the class has others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

import pandas as pd
import pyarrow as pa

from audit.dataset.batches import Batch, on_device
from audit.measuring.answers import answers
from audit.measuring.columns import Row, is_table, write_table_of
from audit.measuring.donors import DonorBank, donor_seed
from audit.measuring.plan import Workbench
from audit.measuring.swaps import Objects, swapped_scores
from audit.models.engine import Engine
from audit.pixels import to_float
from audit.run_folder import RunFolder
from audit.sampling import at_most

FIRST_PASS = [
    *("sample_id", "label", "swap_same_probability", "swap_other_probability"),
    *("swap_same_donor_rows", "swap_other_donor_rows"),
]
"""What :func:`follow_up` reads of the scores."""
FOLLOW_UP_COLUMNS = pa.schema(
    [
        ("sample_id", pa.string()),
        ("label", pa.int32()),
        ("donor_label", pa.int32()),  # the label itself: on backgrounds of its own class
        ("donor_row", pa.int32()),  # whose background: a row of samples.parquet
        ("donor_hash", pa.string()),  # the first 16 digits of that image's sha256
        ("prediction", pa.int32()),
        ("probability", pa.float64()),  # softmax of the label
        ("margin", pa.float64()),
        ("look", pa.int32()),  # 1, or 2 where the first left it open
    ]
)
IMAGES = 50
"""Images of a class, at most, that are followed up, so that a large class costs no more."""
DONORS: Final[Mapping[int, int]] = {1: 2, 2: 4}
"""Fresh donors of each pair an image, by look."""


def follow_up(
    scores: pd.DataFrame,
    pairs: pd.DataFrame,
    bench: Workbench,
    bank: DonorBank,
    before: pd.DataFrame | None = None,
    most: int = IMAGES,
) -> pd.DataFrame:
    """Measure pairs of classes, and each class on backgrounds of its own.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    pairs : DataFrame
        ``label`` and ``donor_label``.
    bench, bank
        As for the first pass.
    before : DataFrame, optional
        What this returned at the first look: this is the second, with other donors.
    most : int
        Images of a class, at most.

    Returns
    -------
    DataFrame
        A row a swap, with :data:`FOLLOW_UP_COLUMNS`.
    """
    donors_of: dict[int, list[int]] = {}
    for label, donor in zip(pairs["label"].tolist(), pairs["donor_label"].tolist(), strict=True):
        donors_of.setdefault(label, [label]).append(donor)
    look = 1 if before is None else 2
    rows: list[Row] = []
    chosen = followed_up(bench.table, scores, donors_of, bench.plan.seed, most)
    first = scores[scores["sample_id"].isin(set(chosen["sample_id"]))]
    used, of_own = (_rows(first, f"swap_{kind}_donor_rows") for kind in ("other", "same"))
    if before is not None:
        for sample_id, row in zip(before["sample_id"], before["donor_row"], strict=True):
            used.setdefault(sample_id, []).append(row)
    for batch in bench.batches(chosen.index) if len(chosen) else ():
        draws = _turns(batch, donors_of, bank, (used, of_own), bench.plan.seed, look)
        rows += _measure(bench.model, batch, bank, draws, look)
    return pd.DataFrame(rows, columns=FOLLOW_UP_COLUMNS.names)


def write_follow_up(run: RunFolder, swaps: pd.DataFrame) -> None:
    """Write ``follow_up.parquet``, whole or not at all."""
    write_table_of(run, run.follow_up, as_table(swaps))


def pairs_of(run: RunFolder, labels: Collection[int]) -> pd.DataFrame:
    """The pairs, ``label`` and ``donor_label``, in which some classes were followed up."""
    columns = ["label", "donor_label"]
    if not is_table(run.follow_up):
        return pd.DataFrame(columns=columns)
    pairs = pd.read_parquet(run.follow_up, columns=columns).drop_duplicates()
    return pairs[pairs["label"].isin(list(labels)) & (pairs["label"] != pairs["donor_label"])]


def as_table(swaps: pd.DataFrame) -> pa.Table:
    """Swaps with :data:`FOLLOW_UP_COLUMNS`."""
    table = pa.Table.from_pandas(swaps, FOLLOW_UP_COLUMNS, preserve_index=False)
    return table.replace_schema_metadata(None)


def followed_up(
    table: pd.DataFrame,
    scores: pd.DataFrame,
    labels: Collection[int],
    seed: int,
    most: int = IMAGES,
) -> pd.DataFrame:
    """The samples of some classes that are swapped again.

    Parameters
    ----------
    table, scores : DataFrame
        The list of samples, and at least the scores of these classes.
    labels : collection of int
        The classes.
    seed : int
        Of the run.
    most : int
        Images of a class, at most.

    Returns
    -------
    DataFrame
        Rows of `table` that met donors of both kinds: a seeded choice of each class.
    """
    swapped = scores["swap_same_probability"].notna() & scores["swap_other_probability"].notna()
    able = set(scores.loc[swapped, "sample_id"])
    kept = table[table["label"].isin(list(labels)) & table["sample_id"].isin(able)]
    return at_most(kept, most, seed, "follow-up", of_each="label")


def _rows(first: pd.DataFrame, column: str) -> dict[str, list[int]]:
    """The backgrounds of the first pass by sample; none where an older run did not keep them."""
    lists = first[column] if column in first else [()] * len(first)
    return {
        sample_id: [int(row) for row in rows] if rows is not None else []
        for sample_id, rows in zip(first["sample_id"], lists, strict=True)
    }


def _turns(
    batch: Batch,
    donors_of: dict[int, list[int]],
    bank: DonorBank,
    known: tuple[Mapping[str, Sequence[int]], Mapping[str, Sequence[int]]],
    seed: int,
    look: int,
) -> list[tuple[int, int]]:
    """Which sample of a batch meets which background.

    `known` are the rows that a sample has met and must not meet again, and those of its own class
    that it meets again only where there are no others.
    """
    used, of_own = known
    draws = []
    for index, sample_id in enumerate(batch.ids):
        label, sha256 = int(batch.targets[index]), batch.loaded[index].sha256
        for donor in donors_of[label]:
            purpose = f"follow-up {donor}{' again' * (look - 1)}"
            drawn = (donor, sha256, donor_seed(seed, sha256, purpose), DONORS[look])
            found = bank.draw_from(*drawn, (*used[sample_id], *of_own[sample_id]))
            if len(found) < DONORS[look]:
                seen = {int(bank.rows[position]) for position in found}
                found += bank.draw_from(*drawn, (*used[sample_id], *seen))[
                    : DONORS[look] - len(found)
                ]
            draws += [(index, position) for position in found]
    return draws


def _measure(
    model: Engine, batch: Batch, bank: DonorBank, draws: Sequence[tuple[int, int]], look: int
) -> Iterator[Row]:
    if not len(batch):
        return
    images = to_float(on_device(batch.images, model.device))
    objects = Objects.of(images, on_device(batch.foreground, model.device))
    targets = on_device(batch.targets, model.device)
    # As many at once as the batch is large, so that memory stays what it was.
    for start in range(0, len(draws), len(batch)):
        part = draws[start : start + len(batch)]
        which, positions = [i for i, _ in part], [p for _, p in part]
        scores = swapped_scores(model, objects, which, bank, positions)
        found = {name: values.tolist() for name, values in answers(scores, targets[which]).items()}
        for number, (index, position) in enumerate(part):
            margin = found["margin"][number]
            yield {
                "sample_id": batch.ids[index],
                "label": int(batch.targets[index]),
                "donor_label": int(bank.labels[position]),
                "donor_row": int(bank.rows[position]),
                "donor_hash": bank.hashes([position])[0],
                "prediction": found["prediction"][number],
                "probability": found["probability"][number],
                "margin": None if margin != margin else margin,
                "look": look,
            }

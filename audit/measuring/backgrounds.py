"""Backgrounds that images lend: objects cut out, holes filled, written as a bank on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray

from audit.dataset.batches import Batch, iterate_batches
from audit.dataset.loader import Loader
from audit.interventions import FILLS, removal_mask
from audit.measuring.columns import write_table
from audit.measuring.donors import DONOR_COLUMNS
from audit.pixels import to_float, to_uint8
from audit.sampling import at_most, identities
from audit.writing import reserve, write_atomically

MAX_HOLE = 0.9
"""An image whose hole covers more than this share has no background to lend."""


def candidates(table: pd.DataFrame, bank: int, seed: int) -> pd.DataFrame:
    """Choose at most `bank` samples of each class by what they hold; of copies one."""
    named = table.assign(_held=identities(table)).sort_values("sample_id")
    once = named.drop_duplicates(["label", "_held"]).drop(columns="_held")
    return at_most(once, bank, seed, "bank", of_each="label")


def build_bank(
    folder: Path,
    table: pd.DataFrame,
    loader: Loader,
    *,
    bank: int,
    fill: str,
    seed: int,
    device: torch.device,
    batch_size: int = 32,
) -> int:
    """Write the bank of a run; images that cannot be used lend nothing.

    Parameters
    ----------
    folder : Path
        Where the two files go; ``donors.parquet`` is written last and marks the bank complete.
    table : DataFrame
        All samples.
    loader : Loader
        Decodes.
    bank, fill, seed
        See the manifest's ``interventions`` and ``run.seed``.
    device : torch.device
        Where holes are filled.
    batch_size : int
        Images at a time.

    Returns
    -------
    int
        Number of backgrounds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = candidates(table, bank, seed)
    batches = iterate_batches(chosen, loader, batch_size)
    rows: list[dict[str, object]] = []
    write_atomically(
        folder / "backgrounds.npy",
        lambda path: rows.extend(_store(path, batches, len(chosen), fill, device)),
    )
    write_table(folder / "donors.parquet", pa.Table.from_pylist(rows, DONOR_COLUMNS))
    return len(rows)


def _store(
    path: Path, batches: Iterable[Batch], most: int, fill: str, device: torch.device
) -> list[dict[str, object]]:
    """Write backgrounds one after the other, and say whose they are; room is taken for `most`."""
    rows: list[dict[str, object]] = []
    stored = None
    for batch in batches:
        backgrounds, kept = backgrounds_of(batch, fill, device)
        if stored is None and len(kept):
            shape = (most, *backgrounds.shape[1:])
            stored = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
            reserve(path)
        for index, picture in zip(kept, backgrounds, strict=True):
            assert stored is not None
            stored[len(rows)] = picture
            rows.append(
                {
                    "row": batch.rows[index],
                    "label": int(batch.targets[index]),
                    "sha256": batch.loaded[index].sha256,
                }
            )
    if stored is None:
        np.save(path, np.zeros((0, 3, 1, 1), np.uint8))
    else:
        stored.flush()
    return rows


def backgrounds_of(
    batch: Batch, fill: str, device: torch.device
) -> tuple[NDArray[np.uint8], list[int]]:
    """Cut the objects out and fill the holes.

    Returns
    -------
    uint8 (n, 3, H, W), list of n int
        The backgrounds, and whose they are in the batch; an image without foreground, or with a
        hole of more than :data:`MAX_HOLE`, has none.
    """
    if not len(batch):
        return np.zeros((0, 3, 1, 1), np.uint8), []
    hole = removal_mask(batch.foreground.to(device), batch.ignored.to(device))
    share = hole.float().mean((1, 2)).cpu()
    usable = batch.foreground.flatten(1).any(1) & (share <= MAX_HOLE)
    kept = [int(i) for i in usable.nonzero().flatten()]
    filled = FILLS[fill](to_float(batch.images.to(device))[kept], hole[kept])
    return to_uint8(filled).cpu().numpy(), kept

"""Backgrounds that images lend: objects cut out, holes filled, written as a bank on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

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

BACKGROUNDS: Final = "backgrounds.npy"
_NOTHING = np.zeros((0, 3, 1, 1), np.uint8)
AT_ONCE: Final = 32
"""Images that are loaded, and whose holes are filled, together."""
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
    batch_size: int = AT_ONCE,
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
    rows = cut_out(folder / BACKGROUNDS, batches, len(chosen), fill, device)
    write_table(folder / "donors.parquet", rows)
    return len(rows)


def cut_out(
    path: Path, batches: Iterable[Batch], most: int, fill: str, device: torch.device
) -> pa.Table:
    """Write the backgrounds of some images into a file; returns whose they are.

    Parameters
    ----------
    path : Path
        Gets uint8 ``(most, 3, H, W)``, whole or not at all; images that lend nothing leave its end
        empty.
    batches : iterable of Batch
        The images.
    most : int
        How many they are.
    fill, device
        See :func:`build_bank`.

    Returns
    -------
    Table
        :data:`audit.measuring.donors.DONOR_COLUMNS`, a row a background.
    """
    rows: list[dict[str, object]] = []
    write_atomically(path, lambda held: rows.extend(_store(held, batches, most, fill, device)))
    return pa.Table.from_pylist(rows, DONOR_COLUMNS)


def join_bank(folder: Path, parts: Sequence[tuple[Path, pa.Table]], most: int) -> None:
    """Write the bank from what was cut out in parts: the same to the last byte.

    Parameters
    ----------
    folder : Path
        As for :func:`build_bank`.
    parts : sequence of (Path, Table)
        As :func:`cut_out` wrote and returned them, in the order of the candidates.
    most : int
        Candidates.
    """
    rows = pa.concat_tables([table for _, table in parts])
    some = next((path for path, table in parts if len(table)), None)

    def join(held: Path) -> None:
        if some is None:
            np.save(held, _NOTHING)
            return
        shape = (most, *np.load(some, mmap_mode="r").shape[1:])
        stored = np.lib.format.open_memmap(held, mode="w+", dtype=np.uint8, shape=shape)
        reserve(held)
        first = 0
        for path, table in parts:
            if len(table):
                stored[first : first + len(table)] = np.load(path, mmap_mode="r")[: len(table)]
                first += len(table)
        stored.flush()

    write_atomically(folder / BACKGROUNDS, join)
    write_table(folder / "donors.parquet", rows)


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
        np.save(path, _NOTHING)
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
        return _NOTHING, []
    hole = removal_mask(batch.foreground.to(device), batch.ignored.to(device))
    share = hole.float().mean((1, 2)).cpu()
    usable = batch.foreground.flatten(1).any(1) & (share <= MAX_HOLE)
    kept = [int(i) for i in usable.nonzero().flatten()]
    filled = FILLS[fill](to_float(batch.images.to(device))[kept], hole[kept])
    return to_uint8(filled).cpu().numpy(), kept

"""The bank of backgrounds that swaps draw from: made once a run, kept on disk, bounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from audit.dataset.batches import Batch, iterate_batches, on_device
from audit.dataset.loader import Loader
from audit.interventions import FILLS, removal_mask
from audit.measuring.columns import write_table
from audit.pixels import to_float, to_uint8
from audit.run_folder import reserve, write_atomically
from audit.sampling import at_most, permuted, sample_seed

DONOR_COLUMNS: Final = pa.schema(
    [
        ("row", pa.int64()),  # of samples.parquet
        ("label", pa.int64()),
        ("sha256", pa.string()),
    ]
)
"""Of ``donors.parquet``: a row a background, at its position in ``backgrounds.npy``."""
MAX_HOLE = 0.9
"""An image whose hole covers more than this share has no background to lend."""


@dataclass(frozen=True)
class Donors:
    """The donors drawn for one sample, as positions in the bank.

    Parameters
    ----------
    same : tuple of int
        Of the sample's own class, never the sample itself nor a copy of it.
    other : tuple of int
        Of other classes.
    """

    same: tuple[int, ...]
    other: tuple[int, ...]


class DonorBank:
    """Backgrounds of at most `bank` images a class.

    Parameters
    ----------
    folder : Path
        Holds ``backgrounds.npy`` (B, 3, H, W) uint8 and ``donors.parquet`` (row, label, sha256).
    """

    def __init__(self, folder: Path) -> None:
        self.table = pd.read_parquet(folder / "donors.parquet")
        # Mapped, not read: the bank may be larger than memory.
        self.backgrounds: NDArray[np.uint8] = np.load(folder / "backgrounds.npy", mmap_mode="r")
        self.labels: NDArray[np.int64] = self.table["label"].to_numpy()
        self.rows: NDArray[np.int64] = self.table["row"].to_numpy()
        self._hashes = self.table["sha256"].to_numpy()
        self._of_class = {
            int(label): np.flatnonzero(self.labels == label) for label in np.unique(self.labels)
        }

    def draw(self, label: int, sha256: str, seed: int, count: int) -> Donors:
        """Draw donors for one sample.

        Other classes are drawn first, without replacement while there are enough, then one image
        of each; so a large class lends no more often than a small one.

        Parameters
        ----------
        label : int
            Of the sample.
        sha256 : str
            Of its file; no copy of it is drawn.
        seed : int
            Of this sample alone.
        count : int
            Donors of each kind; fewer of the same class if there are fewer.
        """
        random = np.random.default_rng(seed)
        own = self._of_class.get(label, np.array([], dtype=np.int64))
        # By content: that leaves out the sample itself and every copy of it.
        own = own[self._hashes[own] != sha256]
        same = random.permutation(own)[:count]
        classes = np.array([c for c in self._of_class if c != label])
        other: list[int] = []
        while len(classes) and len(other) < count:
            for chosen in random.permutation(classes)[: count - len(other)]:
                # A copy under another label would bring the object's own background back.
                held = self._of_class[int(chosen)]
                held = held[self._hashes[held] != sha256]
                if len(held):
                    other.append(int(random.choice(held)))
            if not other:
                break
        return Donors(tuple(int(i) for i in same), tuple(other))

    def draw_from(
        self, donor: int, sha256: str, seed: int, count: int, met: Sequence[int] = ()
    ) -> tuple[int, ...]:
        """Draw backgrounds of one class, without replacement; fewer where it has fewer.

        Parameters
        ----------
        donor : int
            The class that lends.
        sha256 : str
            Of the image that borrows; no copy of it is drawn.
        seed : int
            Of this sample and class alone.
        count : int
            Backgrounds wanted.
        met : sequence of int
            Rows of the list of samples whose backgrounds it has already had.
        """
        held = self._of_class.get(donor, np.array([], dtype=np.int64))
        held = held[(self._hashes[held] != sha256) & ~np.isin(self.rows[held], met)]
        return tuple(permuted(held, count, seed))

    def position_of(self, row: int) -> int | None:
        """Position in the bank of a row of the list of samples; None where it lends nothing."""
        found = np.flatnonzero(self.rows == row)
        return int(found[0]) if len(found) else None

    def fetch(self, positions: list[int], device: torch.device) -> Tensor:
        """Backgrounds ``(len(positions), 3, H, W)`` float in 0..1 on `device`."""
        return to_float(on_device(torch.from_numpy(self.backgrounds[positions]), device))


def candidates(table: pd.DataFrame, bank: int, seed: int) -> pd.DataFrame:
    """Choose at most `bank` samples of each class, by a seeded shuffle that no order changes."""
    return at_most(table, bank, seed, "bank", of_each="label")


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
    rows: list[dict[str, object]] = []

    def write(temporary: Path) -> None:
        stored = None
        for batch in iterate_batches(chosen, loader, batch_size):
            backgrounds, kept = backgrounds_of(batch, fill, device)
            if stored is None and len(kept):
                shape = (len(chosen), *backgrounds.shape[1:])
                stored = np.lib.format.open_memmap(
                    temporary, mode="w+", dtype=np.uint8, shape=shape
                )
                reserve(temporary)
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
            np.save(temporary, np.zeros((0, 3, 1, 1), np.uint8))
        else:
            stored.flush()

    write_atomically(folder / "backgrounds.npy", write)
    write_table(folder / "donors.parquet", pa.Table.from_pylist(rows, DONOR_COLUMNS))
    return len(rows)


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


def is_whole(folder: Path) -> bool:
    """Whether a bank is there, and as many backgrounds as its table names."""
    try:
        bank = DonorBank(folder)
    except (OSError, ValueError, pa.ArrowException, KeyError):
        return False
    return len(bank.backgrounds) >= len(bank.rows)


def donor_seed(seed: int, sample_id: str) -> int:
    """Seed of one sample's own donors."""
    return sample_seed(seed, sample_id, "donors")

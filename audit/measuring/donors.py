"""The bank of backgrounds that swaps draw from; :mod:`audit.measuring.backgrounds` makes it.

Which images lend, and to whom, is drawn by what the files hold: their names, folders and order do
not matter, and one image more takes the place of few draws. So two nights on almost the same images
meet almost the same backgrounds.
"""

from __future__ import annotations

import hashlib
import itertools
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

from audit.dataset.batches import on_device
from audit.pixels import to_float
from audit.sampling import ranks, sample_seed

DONOR_COLUMNS: Final = pa.schema(
    [
        ("row", pa.int64()),  # of samples.parquet
        ("label", pa.int64()),
        ("sha256", pa.string()),
    ]
)
"""Of ``donors.parquet``: a row a background, at its position in ``backgrounds.npy``."""
_HASH_DIGITS = 16


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
        self._keys = np.array([_key(sha256) for sha256 in self._hashes], np.uint64)
        self._of_class = {
            int(label): np.flatnonzero(self.labels == label) for label in np.unique(self.labels)
        }

    def draw(self, label: int, sha256: str, seed: int, count: int) -> Donors:
        """Draw donors for one sample, none of them twice.

        Other classes are drawn first, each once while there are enough, then one image of each; so
        a large class lends no more often than a small one.

        Parameters
        ----------
        label : int
            Of the sample.
        sha256 : str
            Of its file; no copy of it is drawn.
        seed : int
            Of what this sample holds alone; see :func:`donor_seed`.
        count : int
            Donors of each kind; fewer if there are fewer.
        """
        same = self.draw_from(label, sha256, seed, count)
        classes = np.array([c for c in self._of_class if c != label], dtype=np.int64)
        order = classes[np.argsort(ranks(classes.astype(np.uint64), seed), kind="stable")]
        lenders: list[tuple[int, ...]] = []
        for chosen in order:
            # A class that lends nothing leaves its turn to the next.
            if drawn := self.draw_from(int(chosen), sha256, seed, count):
                lenders.append(drawn)
            if len(lenders) == count:
                break
        interleaved = itertools.chain.from_iterable(itertools.zip_longest(*lenders))
        other = itertools.islice((i for i in interleaved if i is not None), count)
        return Donors(same, tuple(other))

    def draw_from(
        self, donor: int, sha256: str, seed: int, count: int, used: Sequence[int] = ()
    ) -> tuple[int, ...]:
        """Draw backgrounds of one class, without replacement; fewer where it has fewer.

        Parameters
        ----------
        donor : int
            The class that lends.
        sha256 : str
            Of the image that borrows; no copy of it is drawn, under whatever label: it would bring
            the object's own background back.
        seed : int
            Of what this sample holds, and what the draw is for.
        count : int
            Backgrounds wanted.
        used : sequence of int
            Rows of the list of samples whose backgrounds it has already had.
        """
        positions = self._of_class.get(donor, np.array([], dtype=np.int64))
        positions = positions[
            (self._hashes[positions] != sha256) & ~np.isin(self.rows[positions], used)
        ]
        order = np.argsort(ranks(self._keys[positions], seed), kind="stable")
        return tuple(positions[order[:count]].tolist())

    def hashes(self, positions: Sequence[int]) -> list[str]:
        """The first 16 digits of the sha256 of images in the bank: by them donors are stored."""
        return [str(sha256)[:_HASH_DIGITS] for sha256 in self._hashes[list(positions)]]

    def position_of(self, row: int) -> int | None:
        """Position in the bank of a row of the list of samples; None where it lends nothing."""
        found = np.flatnonzero(self.rows == row)
        return int(found[0]) if len(found) else None

    def fetch(self, positions: list[int], device: torch.device) -> Tensor:
        """Backgrounds ``(len(positions), 3, H, W)`` float in 0..1 on `device`."""
        return to_float(on_device(torch.from_numpy(self.backgrounds[positions]), device))


def is_whole(folder: Path) -> bool:
    """Whether a bank is there, and as many backgrounds as its table names."""
    try:
        bank = DonorBank(folder)
    except (OSError, ValueError, pa.ArrowException, KeyError):
        return False
    return len(bank.backgrounds) >= len(bank.rows)


def donor_seed(seed: int, sha256: str, purpose: str = "donors") -> int:
    """Seed of one sample's own donors: of what it holds, whatever its name is."""
    return sample_seed(seed, sha256, purpose)


def _key(sha256: str) -> int:
    """64 bits that tell images apart."""
    return int(hashlib.sha256(sha256.encode()).hexdigest()[:16], 16)

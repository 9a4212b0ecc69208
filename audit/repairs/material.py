"""What a last layer is refitted on: originals and swaps of one part, as the network sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from audit.dataset.batches import Batch, on_device
from audit.findings import SplitPart
from audit.measuring.backgrounds import build_bank
from audit.measuring.donors import DonorBank, donor_seed
from audit.measuring.plan import Workbench
from audit.measuring.swaps import Objects, swapped
from audit.pixels import to_float

DONORS = 8
"""Backgrounds of other classes that each object meets, and as many of its own at most."""
MOST_PICTURES = 200_000
"""Above this each object meets fewer."""


class Picture(StrEnum):
    """What was shown to the network."""

    ORIGINAL = "original"
    SWAP_SAME = "swap_same"
    SWAP_OTHER = "swap_other"


@dataclass(frozen=True, eq=False)
class Material:
    """Originals and swaps of one part.

    Parameters
    ----------
    table : DataFrame
        A row a picture: ``picture``, ``label``, ``row`` of the object in the list of samples;
        ``donor_row`` and ``donor_label`` of the background, -1 for originals.
    vectors : float32 (n, D)
        What was read of each: features, or class scores.
    """

    table: pd.DataFrame
    vectors: Tensor

    @property
    def labels(self) -> Tensor:
        """Labels ``(n,)`` int64."""
        return torch.from_numpy(self.table["label"].to_numpy(dtype="int64", copy=True))

    def are(self, picture: Picture) -> Tensor:
        """Which pictures are of a kind, bool ``(n,)``."""
        return torch.from_numpy((self.table["picture"] == picture).to_numpy(copy=True))


@dataclass(frozen=True, eq=False)
class PartMaterial:
    """One part with all that was made of it.

    Parameters
    ----------
    part : SplitPart
        Which.
    bench : Workbench
        Its table is the part.
    bank : DonorBank
        Of the part's images alone.
    material : Material
        Originals and swaps, with features where there is a head, else with class scores.
    class_scores : float (n, K)
        Of the same pictures.
    """

    part: SplitPart
    bench: Workbench
    bank: DonorBank
    material: Material
    class_scores: Tensor


def part_bank(folder: Path, bench: Workbench) -> DonorBank:
    """Backgrounds of all images of `bench`, and of no others."""
    build_bank(
        folder,
        bench.table,
        bench.loader,
        bank=len(bench.table),
        fill=bench.plan.fill,
        seed=bench.plan.seed,
        device=bench.model.device,
        batch_size=bench.batch_size,
    )
    return DonorBank(folder)


def gather(bench: Workbench, bank: DonorBank, read: Callable[[Tensor], Tensor]) -> Material:
    """Show the network every image of one part, and its object on other backgrounds of the part.

    Parameters
    ----------
    bench : Workbench
        Its table is the part.
    bank : DonorBank
        From :func:`part_bank`.
    read : callable
        From images ``(N, 3, H, W)`` in 0..1 to float32 ``(N, D)`` on the CPU.

    Returns
    -------
    Material
        Images without a foreground come as originals alone.
    """
    count = max(1, min(DONORS, (MOST_PICTURES // max(1, len(bench.table)) - 1) // 2))
    rows: list[dict[str, object]] = []
    values: list[Tensor] = []
    for batch in bench.batches(bench.table.index):
        if not len(batch):
            continue
        images = to_float(on_device(batch.images, bench.model.device))
        values.append(read(images))
        rows += [_row(batch, i, Picture.ORIGINAL) for i in range(len(batch))]
        objects = Objects.of(images, on_device(batch.foreground, bench.model.device))
        draws = _turns(batch, bank, bench.plan.seed, count)
        # As many at once as the batch is large, so that memory stays what it was.
        for start in range(0, len(draws), len(batch)):
            some = draws[start : start + len(batch)]
            which, positions = [i for i, _, _ in some], [p for _, p, _ in some]
            values.append(read(swapped(objects, which, bank, positions)))
            rows += [_row(batch, i, kind, bank, p) for i, p, kind in some]
    return Material(pd.DataFrame(rows), torch.cat(values) if values else torch.zeros(0, 0))


def _turns(batch: Batch, bank: DonorBank, seed: int, count: int) -> list[tuple[int, int, Picture]]:
    """Which object of a batch meets which background."""
    draws = []
    for index in batch.foreground.flatten(1).any(1).nonzero().flatten().tolist():
        drawn = bank.draw(
            int(batch.targets[index]),
            batch.loaded[index].sha256,
            donor_seed(seed, batch.loaded[index].sha256, "repair donors"),
            count,
        )
        draws += [(index, position, Picture.SWAP_SAME) for position in drawn.same]
        draws += [(index, position, Picture.SWAP_OTHER) for position in drawn.other]
    return draws


def _row(
    batch: Batch,
    index: int,
    picture: Picture,
    bank: DonorBank | None = None,
    position: int = -1,
) -> dict[str, object]:
    return {
        "picture": picture.value,
        "label": int(batch.targets[index]),
        "row": batch.rows[index],
        "donor_row": -1 if bank is None else int(bank.rows[position]),
        "donor_label": -1 if bank is None else int(bank.labels[position]),
    }

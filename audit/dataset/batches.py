"""Loaded samples, stacked: what goes to the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from audit.dataset.loader import Loader
from audit.dataset.loading import LoadedSample
from audit.dataset.outlines import FOREGROUND, IGNORED
from audit.dataset.sample_table import sample_of
from audit.errors import SampleError


@dataclass(frozen=True)
class Batch:
    """N samples as the model meets them, and the unreadable ones that stood among them.

    Parameters
    ----------
    images : uint8 (N, 3, H, W)
        RGB, on the CPU; in memory pixel after pixel, as they were decoded: a GPU brings them into
        another order faster.
    foreground : bool (N, H, W)
        True on the object; all False where there is none.
    ignored : bool (N, H, W)
        True on pixels that belong to neither side.
    targets : int64 (N,)
        Labels as indices of the model's outputs.
    has_foreground : bool (N,)
        Whether a foreground was found at all.
    rows : tuple of int
        Positions in the list of samples.
    ids : tuple of str
        Sample ids.
    label_names : tuple of str
        As the dataset writes them.
    loaded : tuple of LoadedSample
        Hash and notes of each.
    unreadable : tuple of (int, SampleError)
        Positions and reasons of those that are not in the batch.
    """

    images: Tensor
    foreground: Tensor
    ignored: Tensor
    targets: Tensor
    has_foreground: Tensor
    rows: tuple[int, ...]
    ids: tuple[str, ...]
    label_names: tuple[str, ...]
    loaded: tuple[LoadedSample, ...]
    unreadable: tuple[tuple[int, SampleError], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int, stop: int) -> Batch:
        """Some of its samples; the unreadable ones stay with the first part."""
        cut = slice(start, stop)
        return Batch(
            self.images[cut],
            self.foreground[cut],
            self.ignored[cut],
            self.targets[cut],
            self.has_foreground[cut],
            self.rows[cut],
            self.ids[cut],
            self.label_names[cut],
            self.loaded[cut],
            self.unreadable if start == 0 else (),
        )


def on_device(values: Tensor, device: torch.device) -> Tensor:
    """Move what lies on the CPU to a device, to a GPU without waiting for what it does just now."""
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def taken_from(values: Tensor, which: Sequence[int]) -> Tensor:
    """Some rows of a tensor, without waiting for the GPU that it may lie on.

    Parameters
    ----------
    values : Tensor (N, ...)
        On any device.
    which : sequence of int
        Rows, in any order, and any of them more than once. Where they are all rows as they stand,
        the tensor itself is returned.
    """
    if list(which) == list(range(len(values))):
        return values
    return values.index_select(0, on_device(torch.tensor(which, dtype=torch.int64), values.device))


def iterate_batches(table: pd.DataFrame, loader: Loader, batch_size: int) -> Iterator[Batch]:
    """Load the rows of a list of samples in batches.

    Parameters
    ----------
    table : DataFrame
        Rows of :func:`audit.dataset.sample_table.samples_table`; its index holds their positions.
    loader : Loader
        Decodes ahead.
    batch_size : int
        Rows a batch; readable ones may be fewer.
    """
    stamps = zip(table["size"].tolist(), table["mtime_ns"].tolist(), strict=True)
    requests = (
        (sample_of(row), (size, mtime) if size >= 0 else None)
        for row, (size, mtime) in zip(table.itertuples(), stamps, strict=True)
    )
    loaded = loader.load(requests, ahead=max(2 * batch_size, 16))
    for start in range(0, len(table), batch_size):
        part = table.iloc[start : start + batch_size]
        yield _stack(part, [next(loaded) for _ in range(len(part))])


def _stack(part: pd.DataFrame, results: Sequence[LoadedSample | SampleError]) -> Batch:
    good: list[tuple[int, Any, LoadedSample]] = []
    bad: list[tuple[int, SampleError]] = []
    for position, row, result in zip(part.index, part.itertuples(), results, strict=True):
        if isinstance(result, SampleError):
            bad.append((position, result))
        else:
            good.append((position, row, result))
    masks = [_mask(result) for _, _, result in good]
    side = good[0][2].image.shape[0] if good else 1
    shape = (0, side, side)
    images = np.stack([r.image for _, _, r in good]) if good else np.zeros((*shape, 3), np.uint8)
    mask = np.stack(masks) if good else np.zeros(shape, np.uint8)
    return Batch(
        images=torch.from_numpy(images).permute(0, 3, 1, 2),
        foreground=torch.from_numpy(mask == FOREGROUND),
        ignored=torch.from_numpy(mask == IGNORED),
        targets=torch.tensor([row.label for _, row, _ in good], dtype=torch.int64),
        has_foreground=torch.tensor(
            [result.foreground is not None for _, _, result in good], dtype=torch.bool
        ),
        rows=tuple(position for position, _, _ in good),
        ids=tuple(row.sample_id for _, row, _ in good),
        label_names=tuple(row.label_name for _, row, _ in good),
        loaded=tuple(result for _, _, result in good),
        unreadable=tuple(bad),
    )


def _mask(result: LoadedSample) -> Any:
    if result.foreground is None:
        return np.zeros(result.image.shape[:2], np.uint8)
    return result.foreground

"""Rows drawn again and again with replacement, without gigabytes for a class of many images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TOGETHER = 131_072
"""Values that are resampled at a time: what is drawn stays in the processor's cache."""
_KEPT = 8_000_000
"""Rows drawn, beyond which they are drawn anew for each call."""


def resampled_means(
    columns: Sequence[NDArray[np.float64]], seed: int, resamples: int
) -> list[NDArray[np.float64]]:
    """The mean of each column in each resample; the columns' rows are drawn together.

    Parameters
    ----------
    columns : sequence of float64 (n,)
        At least one row.
    seed : int
        Of the draws: the same for columns of as many rows.
    resamples : int
        How many.

    Returns
    -------
    list of float64 (resamples,)
        One for each column.
    """
    n = len(columns[0])
    means = [np.empty(resamples) for _ in columns]
    size, at = max(1, min(resamples, _TOGETHER // n)), 0
    buffer = np.empty((size, n))
    for drawn in _drawn(seed, n, resamples, size):
        chosen = buffer[: len(drawn)]
        for column, mean in zip(columns, means, strict=True):
            np.take(column, drawn, out=chosen, mode="clip")
            chosen.mean(1, out=mean[at : at + len(drawn)])
        at += len(drawn)
    return means


def _drawn(seed: int, n: int, resamples: int, size: int) -> Iterator[NDArray[np.int64]]:
    """The rows of each resample, `size` resamples at a time."""
    starts = range(0, resamples, size)
    if resamples * n > _KEPT:
        # A class of many thousand images must not need gigabytes.
        random = np.random.default_rng(seed)
        yield from (random.integers(0, n, (min(size, resamples - at), n)) for at in starts)
        return
    drawn = _matrix(seed, n, resamples)
    yield from (drawn[at : at + size].astype(np.int64) for at in starts)


# Classes of equal size share it, and all columns of a class: 32 MB each at most.
@lru_cache(maxsize=4)
def _matrix(seed: int, n: int, resamples: int) -> NDArray[Any]:
    drawn = np.random.default_rng(seed).integers(0, n, (resamples, n)).astype(np.min_scalar_type(n))
    drawn.setflags(write=False)
    return drawn

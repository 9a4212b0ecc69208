"""Polygons and run lengths as masks, held against their bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from audit.dataset.decoding import MAX_PIXELS
from audit.errors import SampleError

_FARTHEST = 1e6
_MOST_POINTS = 1_000_000
_FINE = 5

Size = tuple[int, int]


def fill_polygon(points: Sequence[float], size: Size) -> NDArray[np.bool_]:
    """Fill a polygon of x, y, x, y, ... in pixels, 0 at the image's edge, on `size` (H0, W0).

    Raises
    ------
    SampleError
        Fewer than three points, too many, or one that is no number or far outside.
    """
    if len(points) < 6 or len(points) % 2 or len(points) > 2 * _MOST_POINTS:
        raise SampleError("BAD_SEGMENT", f"a polygon of {len(points)} numbers")
    if not all((v := number(point)) is not None and abs(v) <= _FARTHEST for point in points):
        raise SampleError("BAD_SEGMENT", "a polygon with a point that is no number or far outside")
    mask = np.zeros(size, bool)
    left, right = _reach(points[::2], size[1])
    top, bottom = _reach(points[1::2], size[0])
    if right <= left or bottom <= top:
        return mask
    # Pillow fills the rim, too: drawn larger, a pixel is inside if its middle is.
    fine = _FINE if (right - left) * (bottom - top) * _FINE**2 <= MAX_PIXELS else 1
    canvas = Image.new("1", ((right - left) * fine, (bottom - top) * fine))
    moved = [(v - (top if i % 2 else left)) * fine - 0.5 for i, v in enumerate(points)]
    ImageDraw.Draw(canvas).polygon(moved, fill=1)
    middle = slice(fine // 2, None, fine)
    mask[top:bottom, left:right] = np.asarray(canvas)[middle, middle]
    return mask


def _reach(along: Sequence[float], length: int) -> tuple[int, int]:
    """The pixels of `length` that points reach, from the first to behind the last."""
    return max(math.floor(min(along)), 0), min(math.ceil(max(along)), length)


def decode_runs(counts: str | Sequence[int], size: Size) -> NDArray[np.bool_]:
    """Decode COCO's run lengths: down the columns, background first.

    Parameters
    ----------
    counts : str or sequence of int
        Compressed (base-32 digits, from the third run on as differences to the run before the
        last) or plain.
    size : (H0, W0)
        Of the mask.

    Raises
    ------
    SampleError
        The runs are no numbers, negative, or do not add up to the size.
    """
    runs = _uncompressed(counts) if isinstance(counts, str) else list(counts)
    if not all(isinstance(run, int) and not isinstance(run, bool) and run >= 0 for run in runs):
        raise SampleError("BAD_SEGMENT", "run lengths that are negative or no whole numbers")
    if sum(runs) != size[0] * size[1]:
        raise SampleError(
            "BAD_SEGMENT",
            f"run lengths add up to {sum(runs)}, a picture of {size[1]} x {size[0]} pixels "
            f"has {size[0] * size[1]}",
        )
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(size[1], size[0]).T


def _uncompressed(text: str) -> list[int]:
    runs: list[int] = []
    value, shift = 0, 0
    for character in text.encode("ascii", "replace"):
        digit = character - 48
        if not 0 <= digit < 64 or shift > 40:
            raise SampleError("BAD_SEGMENT", "compressed run lengths that are none")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    return runs


def number(value: object) -> float | None:
    """A finite number as float; None for everything else that JSON can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None

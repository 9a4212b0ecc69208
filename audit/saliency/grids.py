"""How the places of the image lie in a layer's output: maps, channels last, or tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

_PREFIX = 16
"""Most tokens beside a grid that an earlier layer had: class token, registers."""
_PREFIX_OF_NEW = 5
"""The same beside a grid that none had. More, and any number of tokens would be a square."""
_TOKENS = ("NTC", "TNC")


@dataclass(frozen=True)
class Grid:
    """Places of the image in a layer's output.

    Parameters
    ----------
    rows, columns : int
        Of the grid.
    axes : str
        What each axis of the output is: ``NCHW`` maps; ``NHWC`` channels last; ``NTC``, ``TNC`` or
        ``NCT`` a sequence of T tokens, row by row.
    prefix : int
        Tokens before the grid's own (class token, registers).
    """

    rows: int
    columns: int
    axes: str = "NCHW"
    prefix: int = 0

    @property
    def side(self) -> int:
        """The shorter side, in places."""
        return min(self.rows, self.columns)

    @property
    def size(self) -> str:
        """Such as ``7 x 7``."""
        return f"{self.rows} x {self.columns}"

    def fits(self, output: Tensor) -> bool:
        """Whether an output has this form; the number of images is free."""
        if output.ndim != len(self.axes):
            return False
        size = dict(zip(self.axes, output.shape, strict=True))
        if "T" in size:
            return size["T"] == self.prefix + self.rows * self.columns
        return (size["H"], size["W"]) == (self.rows, self.columns)

    def maps(self, output: Tensor) -> Tensor:
        """Lay an output, or its derivative, out as maps ``(N, C, rows, columns)``: a view."""
        if self.axes == "NCHW":
            return output
        if self.axes == "NHWC":
            return output.permute(0, 3, 1, 2)
        tokens = output.permute(*(self.axes.index(axis) for axis in "NCT"))
        return tokens[..., self.prefix :].view(*tokens.shape[:2], self.rows, self.columns)


def find_grid(
    shape: Sequence[int], image: tuple[int, int], seen: Sequence[Grid] = ()
) -> Grid | None:
    """Read the grid from the shape of what a layer put out for one image.

    Maps have the image's proportions; that tells ``(N, C, h, w)`` from ``(N, h, w, C)``, and finds
    ``h * w`` in the number of tokens. Of several grids that with the fewest tokens beside the
    grid counts, then the one that repeats an earlier layer's grid.

    Parameters
    ----------
    shape : sequence of int
        Of the output for a batch of one image.
    image : (int, int)
        Height and width of the image, in pixels.
    seen : sequence of Grid
        Grids of earlier layers.

    Returns
    -------
    Grid or None
        None where the output is no grid; a single place is none.

    Examples
    --------
    >>> find_grid((1, 64, 7, 7), (224, 224))
    Grid(rows=7, columns=7, axes='NCHW', prefix=0)
    >>> find_grid((1, 7, 7, 64), (224, 224)).axes
    'NHWC'
    >>> find_grid((1, 201, 64), (224, 224)).prefix
    5
    >>> find_grid((1, 64), (224, 224)) is None
    True
    """
    if len(shape) == 4:
        return _of_maps(shape, image)
    if len(shape) != 3:
        return None
    repeated = dict.fromkeys((one.rows, one.columns) for one in reversed(seen))
    known = [grid for axes in _TOKENS for grid in _of_tokens(shape, axes, repeated, _PREFIX)]
    flat = _of_tokens(shape, "NCT", repeated, 0)
    if not known and flat:
        return flat[0]
    fresh = [
        grid for axes in _TOKENS for grid in _of_tokens(shape, axes, _like(image), _PREFIX_OF_NEW)
    ]
    return min([*known, *fresh], key=lambda grid: grid.prefix, default=None)


def _of_maps(shape: Sequence[int], image: tuple[int, int]) -> Grid | None:
    first = Grid(shape[2], shape[3])
    last = Grid(shape[1], shape[2], "NHWC")
    found = min(first, last, key=lambda grid: _distance(grid, image))
    return found if found.side > 1 and _distance(found, image) <= 1 else None


def _of_tokens(
    shape: Sequence[int], axes: str, sizes: Iterable[tuple[int, int]], most: int
) -> list[Grid]:
    if shape[axes.index("N")] != 1:
        return []
    tokens = shape[axes.index("T")]
    grids = [Grid(rows, columns, axes, tokens - rows * columns) for rows, columns in sizes]
    return [grid for grid in grids if 0 <= grid.prefix <= most]


def _distance(grid: Grid, image: tuple[int, int]) -> float:
    """How far a grid is from the image's proportions, in places."""
    height, width = image
    return abs(grid.rows * width - grid.columns * height) / max(height, width)


def _like(image: tuple[int, int]) -> list[tuple[int, int]]:
    """Sizes of exactly the image's proportions, from the smallest to one place a pixel."""
    height, width = image
    step = math.gcd(height, width)
    rows, columns = height // step, width // step
    return [(k * rows, k * columns) for k in range(1, step + 1) if k * min(rows, columns) > 1]

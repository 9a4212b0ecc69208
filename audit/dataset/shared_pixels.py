"""Memory that a decoding child shares with its parent: a pipe would cost the parent too much.

Imports no torch, as nothing does that the child imports.
"""

from __future__ import annotations

import mmap
import os
import tempfile

import numpy as np
from numpy.typing import NDArray


class SharedPixels:
    """Room for one image and one mask of the model's input: a child writes, its parent reads.

    What the child says decides nothing but the pixels: the sizes are the parent's own.

    Parameters
    ----------
    side : int
        Of the input, in pixels.
    descriptor : int, optional
        Of the memory that a parent made; None makes some.
    """

    def __init__(self, side: int, descriptor: int | None = None) -> None:
        self._side = side
        length = 4 * side * side
        if descriptor is None:
            descriptor = _anonymous()
            os.ftruncate(descriptor, length)
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, length)

    def write(self, image: NDArray[np.uint8], mask: NDArray[np.uint8] | None) -> None:
        """Lay down an image ``(side, side, 3)``, and its mask ``(side, side)`` where it has one."""
        self._memory.seek(0)
        for values in (image, mask):
            if values is not None:
                self._memory.write(np.ascontiguousarray(values).data)

    def image(self) -> NDArray[np.uint8]:
        """A copy of the image, uint8 ``(side, side, 3)``."""
        return self._copy(0, 3).reshape(self._side, self._side, 3)

    def mask(self) -> NDArray[np.uint8]:
        """A copy of the mask, uint8 ``(side, side)``."""
        return self._copy(3, 1).reshape(self._side, self._side)

    def _copy(self, first: int, planes: int) -> NDArray[np.uint8]:
        area = self._side * self._side
        return np.frombuffer(self._memory, np.uint8, planes * area, first * area).copy()

    def close(self) -> None:
        """Give the memory back; the other side keeps its own."""
        self._memory.close()
        os.close(self.descriptor)


def _anonymous() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("pixels")
    # Not Linux: a file without a name.
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())

"""The numbers of a batch: on the device until all of it has been asked for, then one copy back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

ReadResults = Callable[[], dict[str, list[float]]]
"""Reads what was kept; on a GPU it waits for the copy, not for what was begun after it."""


class DeviceResults:
    """Numbers that a batch gave, kept on the device and sent to the CPU in one copy.

    A copy to the CPU waits for all that the GPU was given before; after one copy for each number
    the GPU would stand idle most of the time. So rows are made of one batch while the GPU is
    busy with the next.
    """

    def __init__(self) -> None:
        self._kept: list[Tensor] = []
        self._count = 0
        self._sent: Tensor | None = None
        self._arrived: torch.cuda.Event | None = None

    def keep(self, values: Mapping[str, Tensor]) -> ReadResults:
        """Keep some numbers of each image.

        Parameters
        ----------
        values : mapping of str to Tensor (n,)
            Of one device; bool, integers below 2**53 or floats.

        Returns
        -------
        callable
            Reads them as lists of n floats by name, once :meth:`send` was called.
        """
        places: dict[str, slice] = {}
        for name, numbers in values.items():
            self._kept.append(numbers.double())
            places[name] = slice(self._count, self._count + len(numbers))
            self._count += len(numbers)
        return lambda: {name: self._numbers()[column].tolist() for name, column in places.items()}

    def send(self) -> None:
        """Begin the copy to the CPU; nothing can be kept after it."""
        together = torch.cat(self._kept)
        self._kept.clear()
        if together.device.type == "cuda":
            # Into pinned memory, or the copy would make this thread wait.
            self._sent = torch.empty(together.shape, dtype=together.dtype, pin_memory=True)
            self._sent.copy_(together, non_blocking=True)
            self._arrived = torch.cuda.current_stream(together.device).record_event()
        else:
            self._sent = together.cpu()

    def _numbers(self) -> Tensor:
        if self._sent is None:
            raise RuntimeError("send() comes before reading")
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._sent

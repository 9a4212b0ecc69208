"""How many images fit into a device's memory at a time: found by running out of it, and kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")

_SIGNS = (
    "out of memory",
    "allocate memory",  # the CPU's own, a plain RuntimeError
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "nable to find an engine",  # of cuDNN, where none of its work areas could be had
)

_log = logging.getLogger(__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, in whatever words a nearly full card has.

    Examples
    --------
    >>> is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling ..."))
    True
    >>> is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    False
    """
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


class Capacity:
    """How many images are taken at a time, of those wanted.

    It is kept for a session only: to find it again costs a few batches, and another job that held
    the memory for a while must not slow every later night.
    """

    def __init__(self) -> None:
        self._most: int | None = None

    def images_at_a_time(self, asked: int) -> int:
        """So many images of those wanted as have not run out of memory before."""
        return asked if self._most is None else min(asked, self._most)

    def ran_out(self, count: int) -> int:
        """Remember that `count` images were too many; returns how many are tried next."""
        self._most = max(1, count // 2)
        return self._most

    def in_parts(self, count: int, work: Callable[[int, int], T]) -> list[T]:
        """Work on `count` images, all at once, or in halves where memory does not suffice.

        Parameters
        ----------
        count : int
            Images.
        work : callable
            Called with the first image of a part and the one after its last; maybe again, with
            fewer.

        Returns
        -------
        list
            What it returned, in the order of the images.

        Raises
        ------
        RuntimeError
            What the device said of one image alone.
        """
        parts: list[T] = []
        start = 0
        while start < count:
            some = self.images_at_a_time(count - start)
            if some == 1:
                parts.append(work(start, start + 1))
                start += 1
                continue
            try:
                parts.append(work(start, start + some))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            else:
                start += some
                continue
            # Out of the except block first: the traceback would keep what was begun alive.
            fewer = self.ran_out(some)
            _log.warning("out of memory with %d images at a time; trying %d", some, fewer)
            free_cached_memory()
        return parts


def free_cached_memory() -> None:
    """Give back what PyTorch holds of a GPU's memory for later use."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def activation_bytes(model: nn.Module, images: Tensor) -> int:
    """Bytes that one pass keeps until its derivatives are asked for.

    Parameters
    ----------
    model : nn.Module
        From images to class scores.
    images : float (N, 3, H, W)
        All of them are sent through at once.

    Returns
    -------
    int
        Of all images together, weights not counted; 0 where the network has no derivatives.
    """
    own = {tensor.untyped_storage().data_ptr() for tensor in model.state_dict().values()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    # What is kept stays alive until the scores are dropped, so that no address comes twice.
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        scores = model(images.clone().requires_grad_(True))
    del scores
    return sum(kept.values())

"""What a GPU may round: float32 as such, or the operands of convolutions and products in TF32.

TF32 keeps 10 bits of each operand. By PyTorch's own defaults convolutions have it and matrix
products do not, so a ResNet and a ViT would each get another arithmetic, and "float32" would mean
neither. Here the manifest says which.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch


class Rounding(NamedTuple):
    """Where TF32 is allowed.

    Parameters
    ----------
    maps : bool
        In passes for saliency maps. A ReLU near zero turns a rounding into a visible difference:
        with TF32 a map's foreground mass can be another by more than 1e-3.
    scores : bool
        In passes without derivatives, which an experiment is made of.
    """

    maps: bool
    scores: bool


ROUNDING = {
    "auto": Rounding(maps=False, scores=True),
    "float32": Rounding(maps=False, scores=False),
    "tf32": Rounding(maps=True, scores=True),
    "bf16": Rounding(maps=True, scores=True),
}
"""By ``run.precision``; a CPU has no TF32."""

_decided: ContextVar[bool] = ContextVar("decided", default=False)


@contextmanager
def tf32(allowed: bool, device: torch.device) -> Iterator[None]:
    """Allow TF32 in convolutions and matrix products on a GPU, or forbid it, for a block.

    Of blocks within each other the outermost decides: the scores that a map is made of are rounded
    as the map.

    Parameters
    ----------
    allowed : bool
        Whether operands may be rounded.
    device : torch.device
        Where the block works; nothing is done elsewhere than on a GPU.
    """
    if device.type != "cuda" or _decided.get():
        yield
        return
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, products.allow_tf32
    token = _decided.set(True)
    cudnn.allow_tf32 = products.allow_tf32 = allowed
    try:
        yield
    finally:
        cudnn.allow_tf32, products.allow_tf32 = before
        _decided.reset(token)

"""Pixels as whole numbers 0..255, and as numbers 0..1."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """Pixels uint8 in 0..255 as float32 in 0..1, channel after channel however they lay before."""
    return images.to(torch.float32, memory_format=torch.contiguous_format).div_(255.0)


def to_uint8(images: Tensor) -> Tensor:
    """Pixels float in 0..1, or a little beyond, as uint8: the nearest of 0..255.

    Examples
    --------
    >>> to_uint8(torch.tensor([-0.1, 0.0, 0.4999, 1.0])).tolist()
    [0, 0, 127, 255]
    """
    return (images * 255).round().clamp(0, 255).to(torch.uint8)


def to_picture(image: Tensor) -> NDArray[np.uint8]:
    """One image ``(3, H, W)``, float in 0..1 or uint8, as a picture uint8 ``(H, W, 3)``."""
    pixels = image if image.dtype == torch.uint8 else to_uint8(image.float())
    return np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy())

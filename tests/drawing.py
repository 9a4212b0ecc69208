"""Masks and maps drawn as text: ``F`` foreground, ``B`` background, ``.`` neither; digits a map."""

from __future__ import annotations

import torch
from torch import Tensor


def _lines(drawing: str) -> list[str]:
    return [line.strip() for line in drawing.strip().splitlines()]


def foreground(*drawings: str) -> Tensor:
    """Bool (N, H, W), True at ``F``."""
    return torch.tensor([[[c == "F" for c in line] for line in _lines(d)] for d in drawings])


def ignored(*drawings: str) -> Tensor:
    """Bool (N, H, W), True at ``.``."""
    return torch.tensor([[[c == "." for c in line] for line in _lines(d)] for d in drawings])


def maps(*drawings: str) -> Tensor:
    """Float32 (N, H, W) of digits."""
    return torch.tensor([[[float(c) for c in line] for line in _lines(d)] for d in drawings])

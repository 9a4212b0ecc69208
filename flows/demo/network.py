"""The demo's classifier: small enough to be trained in seconds on a CPU."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

INPUT_SIDE = 64


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class SmallNetwork(nn.Module):
    """Four convolution stages and a linear head.

    Parameters
    ----------
    classes : int
        Outputs.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            _stage(3, 16),
            nn.MaxPool2d(2),
            _stage(16, 32),
            nn.MaxPool2d(2),
            _stage(32, 64),
            nn.MaxPool2d(2),
            _stage(64, 96),
        )
        self.head = nn.Linear(96, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, K)`` of normalised images ``(N, 3, 64, 64)``."""
        features = self.stages(images)
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits


def load(device: torch.device, *, weights: str | Path) -> SmallNetwork:
    """Load a trained network; the loader that the demo's manifest names."""
    state = load_file(weights, device=str(device))
    network = SmallNetwork(len(state["head.bias"]))
    network.load_state_dict(state)
    return network.to(device)

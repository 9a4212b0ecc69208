"""The classifiers of the worlds: an ImageNet trunk whose head, or last stage and head, is new."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models

from benchmarks.photographs.trunks import NORMALISED, lite, mobilenet
from benchmarks.photographs.worlds import World, compose

PER_CLASS = 80
BATCH = 32
STEPS = {"head": 300, "stage": 120}


class PhotographNetwork(nn.Module):
    """A trunk in two parts, and a linear head.

    Parameters
    ----------
    front, back : nn.Module
        Up to the last stage, never trained; the last stage and what follows.
    channels, classes : int
        Of the head.
    """

    def __init__(self, front: nn.Module, back: nn.Module, channels: int, classes: int) -> None:
        super().__init__()
        self.front, self.back = front, back
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, K)`` of normalised images."""
        logits: Tensor = self.head(self.pool(self.back(self.front(images))))
        return logits


def build(trunk: str, classes: int, weights: Path | None = None) -> PhotographNetwork:
    """The network with random weights, or with the trunk's ImageNet weights found in `weights`."""
    if trunk == "lite":
        whole = lite(0, weights) if weights else timm.create_model("tf_efficientnet_lite0")
        front = nn.Sequential(whole.conv_stem, whole.bn1, *whole.blocks[:-1])
        back = nn.Sequential(whole.blocks[-1], whole.conv_head, whole.bn2)
        return PhotographNetwork(front, back, whole.num_features, classes)
    parts = (mobilenet(weights) if weights else models.mobilenet_v2(weights=None)).features
    return PhotographNetwork(parts[:-2], parts[-2:], 1280, classes)


def normalised(pictures: NDArray[np.uint8], trunk: str) -> Tensor:
    """uint8 (N, S, S, 3) to normalised float32 (N, 3, S, S)."""
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous().float() / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in NORMALISED[trunk])
    return (images - mean) / std


def train(world: World, weights: Path) -> PhotographNetwork:
    """Train on the world's own surroundings; in eval mode, batch norms as they were."""
    parts = [compose(world, label, "training", PER_CLASS)[0] for label in range(len(world.names))]
    pictures = np.concatenate(parts)
    labels = torch.arange(len(world.names)).repeat_interleave(PER_CLASS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(world.seed)
        network = build(world.trunk, len(world.names), weights).eval()
        network.front.requires_grad_(False)
        # Once: the front never changes.
        with torch.no_grad():
            chunks = [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]
            maps = torch.cat([network.front(normalised(part, world.trunk)) for part in chunks])
        _fit(network, maps, labels, world.tail)
    return network.eval()


def _fit(network: PhotographNetwork, maps: Tensor, labels: Tensor, tail: str) -> None:
    groups = [{"params": network.head.parameters(), "lr": 3e-3}]
    if tail == "stage":
        groups.append({"params": network.back.parameters(), "lr": 3e-4})
    else:
        network.back.requires_grad_(False)
        with torch.no_grad():
            maps = torch.cat([network.pool(network.back(part)) for part in maps.split(BATCH)])
    optimiser = torch.optim.AdamW(groups, weight_decay=1e-2)
    for _ in range(STEPS[tail]):
        chosen = torch.randint(len(maps), (64,))
        logits = network.head(
            maps[chosen] if tail == "head" else network.pool(network.back(maps[chosen]))
        )
        loss = nn.functional.cross_entropy(logits, labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def answers(network: nn.Module, pictures: NDArray[np.uint8], trunk: str) -> NDArray[np.int64]:
    """The class that each picture is taken for ``(N,)``."""
    with torch.no_grad():
        parts = [
            network(normalised(pictures[start : start + BATCH], trunk)).argmax(1)
            for start in range(0, len(pictures), BATCH)
        ]
    found: NDArray[np.int64] = torch.cat(parts).numpy()
    return found


def load(device: torch.device, *, weights: str, trunk: str, class_count: int) -> nn.Module:
    """Load a trained network; the loader that a world's manifest names."""
    network = build(trunk, class_count)
    network.load_state_dict(load_file(weights, device=str(device)))
    return network.to(device)

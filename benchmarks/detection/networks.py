"""The classifiers of the benchmark: three small architectures, and a head on an ImageNet trunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks.detection.lessons import normalised, training_set
from benchmarks.detection.worlds import CLASSES, World
from flows.demo.network import SmallNetwork

PER_CLASS = 200
EPOCHS = 8
BATCH = 64


class _Residual(nn.Module):
    """Two 3x3 convolutions around which the input passes (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.short = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(self.body(images) + self.short(images))


class _Depthwise(nn.Module):
    """A 5x5 convolution per channel, then a mixing of channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, 2 * channels, 1),
            nn.GELU(),
            nn.Conv2d(2 * channels, channels, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        return images + self.body(images)


def _headed(stages: list[nn.Module], width: int, classes: int) -> nn.Module:
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


def _plain(classes: int) -> nn.Module:
    return SmallNetwork(classes)


def _residual(classes: int) -> nn.Module:
    stages = [_Residual(3, 24, 2), _Residual(24, 48, 2), _Residual(48, 96, 2)]
    return _headed(list(stages), 96, classes)


def _depthwise(classes: int) -> nn.Module:
    stages: list[nn.Module] = [
        nn.Conv2d(3, 48, 4, 4),
        nn.BatchNorm2d(48),
        _Depthwise(48),
        _Depthwise(48),
        nn.Conv2d(48, 96, 2, 2),
        nn.BatchNorm2d(96),
        _Depthwise(96),
        _Depthwise(96),
    ]
    return _headed(stages, 96, classes)


ARCHITECTURES: Mapping[str, Callable[[int], nn.Module]] = {
    "plain": _plain,
    "residual": _residual,
    "depthwise": _depthwise,
}


TRUNK = "imagenet"
"""The architecture with a head on an ImageNet trunk; it sees larger pictures."""


def build(architecture: str, classes: int) -> nn.Module:
    """An untrained network, or one with an untrained head."""
    if architecture == TRUNK:
        # Only here, since it needs packages that nothing else needs.
        from benchmarks.detection.trunk import imagenet

        return imagenet(classes)
    return ARCHITECTURES[architecture](classes)


def train(world: World, architecture: str) -> nn.Module:
    """Train a small network on the world, in eval mode when it is returned."""
    pictures, labels = training_set(world, PER_CLASS)
    images = normalised(pictures)
    order = torch.Generator().manual_seed(world.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(world.seed)
        network = ARCHITECTURES[architecture](len(world.names))
    network.train()
    steps = EPOCHS * (len(images) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.02)
    for _ in range(EPOCHS):
        for chosen in torch.split(torch.randperm(len(images), generator=order), BATCH):
            if len(chosen) < BATCH:
                continue
            # Never mirrored: a tag has its corner.
            batch = images[chosen]
            loss = loss_of(network(batch), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def load(device: torch.device, *, weights: str, architecture: str) -> nn.Module:
    """Load a trained network; the loader that a world's manifest names."""
    state = load_file(weights, device=str(device))
    network = build(architecture, CLASSES)
    network.load_state_dict(state)
    return network.to(device)

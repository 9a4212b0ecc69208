"""A twin without BatchNorm: the same answers, and none where it could not be trusted."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

from audit.geometry import Geometry
from audit.models import AuditedModel
from audit.models.folding import folded
from audit.saliency import class_scores


def audited(network: nn.Module) -> AuditedModel:
    return AuditedModel(network, None, Geometry(32), (0.5,) * 3, (0.25,) * 3)


def some_images(count: int = 5) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def lived_in(network: nn.Module) -> nn.Module:
    """Give every BatchNorm statistics and weights that matter."""
    generator = torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_var, module.weight.data):
                assert tensor is not None
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            for tensor in (module.running_mean, module.bias.data):
                assert tensor is not None
                tensor.copy_(torch.rand(tensor.shape, generator=generator) - 0.5)
    return network


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


class Block(nn.Module):
    """A convolution, its BatchNorm, and what each subclass does with them."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        lived_in(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.convolution(images)).relu().mean((2, 3))


class Shared(Block):
    """Asks the same convolution twice, and normalises once: folding would spoil the other."""

    def forward(self, images: Tensor) -> Tensor:
        plain = self.convolution(images)
        return (self.norm(self.convolution(images)).relu() + plain).mean((2, 3))


class Bent(Block):
    """Its way depends on its pixels, so that it is no one graph."""

    def forward(self, images: Tensor) -> Tensor:
        if float(images.mean()) > 10:
            images = images / 2
        return super().forward(images)


class Storing(Block):
    """Keeps its features."""

    def forward(self, images: Tensor) -> Tensor:
        self.features = self.norm(self.convolution(images))
        return self.features.mean((2, 3))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "googlenet", "densenet121"])
def test_a_folded_network_answers_as_before(name: str) -> None:
    torch.manual_seed(0)
    extra = {"init_weights": False} if name == "googlenet" else {}
    network = torchvision.models.get_model(name, weights=None, num_classes=6, **extra)
    model, images = audited(lived_in(network)), some_images()
    before = norms(model)
    twin = folded(model, images[:1])
    assert norms(twin) < before
    assert norms(model) == before
    with torch.no_grad():
        wanted = model(images)
        torch.testing.assert_close(twin(images), wanted, rtol=1e-4, atol=1e-5 * float(wanted.max()))
    torch.testing.assert_close(
        class_scores(model, images), wanted, rtol=1e-4, atol=1e-5 * float(wanted.max())
    )


@pytest.mark.parametrize("network", [Shared, Bent, Storing])
def test_what_cannot_be_folded_is_asked_as_it_is(network: type[Block]) -> None:
    model, images = audited(network()), some_images()
    assert folded(model, images[:1]) is model
    torch.testing.assert_close(class_scores(model, images), model(images))


def test_a_network_without_batchnorm_has_no_twin() -> None:
    model = audited(nn.Sequential(nn.Conv2d(3, 4, 32), nn.Flatten()))
    assert folded(model, some_images(1)) is model


def test_the_twin_follows_the_weights() -> None:
    model, images = audited(Block()), some_images()
    before = class_scores(model, images)
    assert folded(model, images[:1]) is folded(model, images[:1])
    with torch.no_grad():
        model.get_parameter("module.norm.bias").add_(1.0)
    after = class_scores(model, images)
    assert bool((after > before + 0.5).all())
    torch.testing.assert_close(after, model(images))


def test_no_images_have_no_scores() -> None:
    assert class_scores(audited(Block()), some_images(0)).shape == (0, 4)

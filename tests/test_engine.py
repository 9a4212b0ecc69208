"""The engine: copies that answer as the model does, and what is remembered of a model."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from torch import Tensor, nn

from audit.geometry import Geometry
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.saliency import METHODS, class_scores, explain


def engine_of(network: nn.Module) -> Engine:
    return Engine(AuditedModel(network, None, Geometry(32), (0.5,) * 3, (0.25,) * 3))


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
    engine, images = engine_of(lived_in(network)), some_images()
    before = norms(engine)
    folded = engine.folded(images[:1])
    assert norms(folded) < before
    # Nobody who looks for layers in the engine finds those of the copy.
    assert norms(engine) == norms(engine.model) == before
    with torch.no_grad():
        wanted = engine(images)
        close = {"rtol": 1e-4, "atol": 1e-5 * float(wanted.max())}
        torch.testing.assert_close(folded(images), wanted, **close)
    torch.testing.assert_close(class_scores(engine, images), wanted, **close)


@pytest.mark.parametrize("network", [Shared, Bent, Storing])
def test_what_cannot_be_folded_is_asked_as_it_is(network: type[Block]) -> None:
    engine, images = engine_of(network()), some_images()
    assert engine.folded(images[:1]) is engine.model
    torch.testing.assert_close(class_scores(engine, images), engine(images))


def test_a_network_without_batchnorm_is_not_copied() -> None:
    engine = engine_of(nn.Sequential(nn.Conv2d(3, 4, 32), nn.Flatten()))
    assert engine.folded(some_images(1)) is engine.model


def test_the_copy_follows_the_weights() -> None:
    engine, images = engine_of(Block()), some_images()
    before = class_scores(engine, images)
    assert engine.folded(images[:1]) is engine.folded(images[:1])
    with torch.no_grad():
        engine.get_parameter("model.module.norm.bias").add_(1.0)
    after = class_scores(engine, images)
    assert bool((after > before + 0.5).all())
    torch.testing.assert_close(after, engine(images))


def test_no_images_have_no_scores() -> None:
    assert class_scores(engine_of(Block()), some_images(0)).shape == (0, 4)


def test_a_network_is_tried_once_by_its_engine_and_each_time_without() -> None:
    """A trial sends images of noise through: what is asked of an engine is all of the user's."""
    images, asked = some_images(4), []
    engine = engine_of(nn.Sequential(nn.Conv2d(3, 4, 32), nn.Flatten()))
    targets, seeds = torch.zeros(4, dtype=torch.int64), [0] * 4

    def asks(model: nn.Module) -> int:
        asked.clear()
        explain(model, images, targets, method=METHODS["gradient"], seeds=seeds, target="contrast")
        return sum(asked)

    engine.model.register_forward_hook(lambda _m, inputs, _o: asked.append(len(inputs[0])))
    assert asks(engine) > 4
    assert asks(engine) == 4
    assert asks(engine.model) > 4


def test_an_engine_and_its_model_give_the_same_maps() -> None:
    engine, images = engine_of(Block()), some_images()
    call = {"method": METHODS["gradcam"], "seeds": [0] * 5}
    targets = torch.tensor([0, 1, 2, 3, 0])
    found = [explain(model, images, targets, **call) for model in (engine, engine.model)]
    assert torch.equal(found[0].maps, found[1].maps)
    assert found[0].scores is not None
    assert torch.equal(found[0].scores, found[1].scores)


def test_a_plug_in_may_copy_an_engine() -> None:
    """Guided backpropagation, say, copies what it is given and changes its layers."""
    engine, images = engine_of(Block()), some_images()
    before = class_scores(engine, images)
    copied = copy.deepcopy(engine)
    with torch.no_grad():
        copied.get_parameter("model.module.norm.bias").add_(1.0)
    assert torch.equal(class_scores(engine, images), before)
    torch.testing.assert_close(class_scores(copied, images), copied(images))


def test_a_batch_that_ran_out_of_memory_is_halved_for_the_session() -> None:
    engine = engine_of(Block())
    assert engine.capacity.images_at_a_time(64) == 64
    assert engine.capacity.ran_out(64) == 32
    assert engine.capacity.images_at_a_time(64) == 32
    assert engine.capacity.images_at_a_time(8) == 8
    assert engine.capacity.ran_out(1) == 1

"""Methods that turn images into maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import pairwise

import pytest
import torch
import torchvision
from captum.attr import IntegratedGradients, LayerGradCam, Saliency
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from audit.errors import ManifestError, ModelError
from audit.geometry import Geometry
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.saliency import (
    METHODS,
    MICROBATCH,
    Against,
    Contrast,
    class_scores,
    explain,
)
from audit.saliency.contributions import BASELINES, contributions
from audit.saliency.gradients import gradient, smoothgrad
from audit.saliency.occlusion import occlusion, windows

# Few steps, where a test asks for no quality.
QUICK = {
    "smoothgrad": {"samples": 3},
    "integrated_gradients": {"steps": 3},
    "rise": {"samples": 8, "cells": 3},
}
CAMS = ("gradcam", "gradcam_plus_plus", "hirescam", "layercam")
IN_ONE_PASS = {"gradient", "gradient_x_input", *CAMS}

# Those that serve ReLU networks or transformers alone: tests/test_further_methods.py.
SOME = ("guided_backprop", "gradient_rollout")
every_method = pytest.mark.parametrize("name", [name for name in METHODS if name not in SOME])


@pytest.fixture(autouse=True)
def _single_thread() -> Iterator[None]:
    """On a busy machine the threads of tiny kernels mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def audited(network: nn.Module, **options: object) -> AuditedModel:
    return AuditedModel(network, None, Geometry(32), (0.5,) * 3, (0.25,) * 3, **options)


def small_network() -> nn.Module:
    """Odd sizes on purpose: they bring out kernels that round by place in the batch."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 7, 3),
        nn.BatchNorm2d(7),
        nn.ReLU(inplace=True),
        nn.Conv2d(7, 9, 3, stride=2),
        nn.SiLU(inplace=True),
        nn.Flatten(),
        nn.Linear(9 * 14 * 14, 17),
        nn.ReLU(inplace=True),
        nn.Linear(17, 5),
    )


@cache
def small_model() -> Engine:
    return Engine(audited(small_network()))


@cache
def mobilenet() -> Engine:
    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v2(weights=None, num_classes=5)
    # Random weights need statistics to match, or every number sinks into the denormals.
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()(some_images(8))
    return Engine(audited(network))


def some_images(count: int = 3, side: int = 32) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


class Linear(nn.Module):
    """Class score k is the sum of weights k times pixels."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, images: Tensor) -> Tensor:
        return torch.einsum("nchw,kchw->nk", images, self.weights)


def linear(classes: int = 3, side: int = 8) -> Linear:
    return Linear(torch.randn(classes, 3, side, side, generator=torch.Generator().manual_seed(2)))


def count_hooks(model: nn.Module) -> int:
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
        for m in model.modules()
    )


# What every method keeps to


@every_method
def test_maps_have_the_shape_sign_and_type_that_scoring_expects(name: str) -> None:
    images = some_images()
    with torch.no_grad():
        maps, scores = METHODS[name](
            small_model(), images, torch.tensor([0, 1, 2]), seeds=[1, 2, 3]
        )
    assert maps.shape == (3, 32, 32)
    assert maps.dtype == torch.float32
    assert not maps.requires_grad
    assert (maps >= 0).all()
    assert maps.amax((1, 2)).gt(0).any()
    assert (scores is not None) == (name in IN_ONE_PASS)
    if scores is not None:
        assert not scores.requires_grad
        torch.testing.assert_close(scores, small_model()(images).detach(), rtol=1e-5, atol=1e-6)


@every_method
def test_maps_work_under_inference_mode(name: str) -> None:
    with torch.inference_mode():
        images = some_images(2)
        targets = torch.tensor([0, 1])
        maps, _ = METHODS[name](small_model(), images, targets, seeds=[1, 2])
    outside, _ = METHODS[name](small_model(), some_images(2), torch.tensor([0, 1]), seeds=[1, 2])
    assert torch.equal(maps, outside)


@every_method
@pytest.mark.parametrize(
    ("make", "target"),
    [(small_model, "logit"), (small_model, "predicted"), (mobilenet, "contrast")],
)
def test_a_map_does_not_depend_on_its_batch(
    name: str, make: Callable[[], Engine], target: str
) -> None:
    method = partial(METHODS[name], **QUICK.get(name, {}))
    images, targets, seeds = some_images(5), torch.tensor([0, 1, 2, 3, 4]), [9, 8, 7, 6, 5]
    together = explain(make(), images, targets, seeds=seeds, method=method, target=target)
    assert together.maps.amax((1, 2)).gt(0).any()
    for start, stop in ((4, 5), (1, 3)):
        part = explain(
            make(),
            images[start:stop],
            targets[start:stop],
            seeds=seeds[start:stop],
            method=method,
            target=target,
        )
        assert torch.equal(part.maps, together.maps[start:stop])
        assert torch.equal(part.targets, together.targets[start:stop])


@every_method
def test_a_model_is_left_as_it_was(name: str) -> None:
    network = small_network()
    network.eval()
    network[1].train()  # a user may have reasons
    network[1].momentum = 0.0
    modes = [m.training for m in network.modules()]
    images = some_images()
    before = images.clone()
    explain(
        network,
        images,
        torch.zeros(3, dtype=torch.int64),
        method=partial(METHODS[name], **QUICK.get(name, {})),
        target="contrast",
        seeds=[0, 1, 2],
    )
    assert [m.training for m in network.modules()] == modes
    assert all(p.grad is None for p in network.parameters())
    assert all(p.requires_grad for p in network.parameters())
    assert count_hooks(network) == 0
    assert torch.equal(images, before)
    assert images.grad is None
    assert not images.requires_grad


class Failing(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        raise RuntimeError("the head is broken")


@every_method
def test_no_hook_stays_behind_after_an_exception(name: str) -> None:
    model = audited(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Failing()))
    for options in ({}, {"layer": "0"}) if name in CAMS else ({},):
        with pytest.raises(RuntimeError, match="head is broken"):
            METHODS[name](model, some_images(), torch.tensor([0, 0, 0]), seeds=[0, 0, 0], **options)
        assert count_hooks(model) == 0


@every_method
def test_an_empty_batch_gives_no_maps(name: str) -> None:
    maps, _ = METHODS[name](
        small_model(), torch.zeros(0, 3, 32, 32), torch.zeros(0, dtype=torch.int64), seeds=[]
    )
    assert maps.shape == (0, 32, 32)


class Undefined(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images * torch.nan


@every_method
def test_what_is_not_finite_is_not_hidden(name: str) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), Undefined(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    maps, _ = METHODS[name](model, some_images(1), torch.tensor([0]), seeds=[0])
    assert not maps.isfinite().any()


# Laws and identities


@every_method
@pytest.mark.parametrize("target", ["logit", "predicted", "contrast"])
def test_scores_beside_the_maps_are_class_scores_whatever_is_explained(
    name: str, target: str
) -> None:
    model, images = mobilenet(), some_images(2)
    method = partial(METHODS[name], **QUICK.get(name, {}))
    found = explain(model, images, torch.tensor([3, 1]), method=method, seeds=[0, 1], target=target)
    there = {"logit": name in IN_ONE_PASS, "predicted": True, "contrast": False}
    assert (found.scores is not None) == there[target]
    assert found.maps.dtype == torch.float32
    if found.scores is not None:
        assert found.scores.dtype == torch.float32
        assert not found.scores.requires_grad
        torch.testing.assert_close(found.scores, class_scores(model, images), rtol=1e-5, atol=1e-6)


def test_one_pass_asks_the_model_once_an_image() -> None:
    model, images, asked = mobilenet(), some_images(MICROBATCH), []
    call = (model, images, torch.zeros(MICROBATCH, dtype=torch.int64))
    gradient(*call, seeds=[0] * MICROBATCH)  # What is tried once has been tried.
    handle = model.register_forward_hook(lambda _m, inputs, _o: asked.append(len(inputs[0])))
    for name in IN_ONE_PASS:
        asked.clear()
        explain(*call, method=METHODS[name], seeds=[0] * MICROBATCH)
        # Finding the layer of a class activation map asks once more.
        assert MICROBATCH <= sum(asked) <= MICROBATCH + (name in CAMS)
    handle.remove()


@pytest.mark.parametrize("name", ["integrated_gradients", "smoothgrad"])
def test_variants_of_an_image_share_a_pass_no_longer_than_a_microbatch(name: str) -> None:
    model, images, asked = small_model(), some_images(1), []
    handle = model.register_forward_hook(lambda _m, inputs, _o: asked.append(len(inputs[0])))
    count = {"integrated_gradients": "steps", "smoothgrad": "samples"}[name]
    call = (model, images, torch.tensor([0]))
    METHODS[name](*call, seeds=[1], **{count: 3 * MICROBATCH + 1})
    handle.remove()
    # What a pass keeps until its derivatives are taken grows with its images.
    assert max(asked) == MICROBATCH
    assert sum(asked) >= 3 * MICROBATCH + 1


def test_the_gradient_of_a_linear_model_is_its_weights() -> None:
    model = linear()
    maps, _ = gradient(model, some_images(3, 8), torch.tensor([2, 0, 1]), seeds=[0, 0, 0])
    torch.testing.assert_close(maps, model.weights[[2, 0, 1]].abs().amax(1))


class Scaled(nn.Module):
    def __init__(self, model: nn.Module, factor: float) -> None:
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, images: Tensor) -> Tensor:
        return self.factor * self.model(images)


@pytest.mark.parametrize(
    "name", [name for name in METHODS if name not in (*SOME, "gradcam_plus_plus")]
)
@settings(max_examples=5, deadline=None)
@given(power=st.integers(-3, 3))
def test_scaling_the_class_scores_scales_the_map(name: str, power: int) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network.append(nn.Linear(4 * 8 * 8, 3))
        nn.init.normal_(network[0].weight)
    call = (some_images(2, 8), torch.tensor([0, 2]))
    method = partial(METHODS[name], seeds=[4, 5], **QUICK.get(name, {}))
    plain, _ = method(network, *call)
    scaled, _ = method(Scaled(network, 2.0**power), *call, **layer_of(name))
    torch.testing.assert_close(scaled, plain * 2.0**power, rtol=1e-4, atol=1e-6)


def layer_of(name: str) -> dict[str, str]:
    """The same layer, seen through the wrapper :class:`Scaled`."""
    return {"layer": "model.1"} if name in CAMS else {}


def test_smoothgrad_without_noise_is_the_gradient() -> None:
    call = (small_model(), some_images(), torch.tensor([0, 1, 2]))
    smooth, _ = smoothgrad(*call, seeds=[1, 2, 3], noise=0.0)
    torch.testing.assert_close(smooth, gradient(*call, seeds=[1, 2, 3])[0], rtol=1e-4, atol=1e-6)


def test_the_noise_of_smoothgrad_comes_from_the_seed_alone() -> None:
    call = (small_model(), some_images(1), torch.tensor([0]))
    torch.manual_seed(1)
    first, _ = smoothgrad(*call, seeds=[1])
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(first, smoothgrad(*call, seeds=[1])[0])
    assert not torch.equal(first, smoothgrad(*call, seeds=[2])[0])
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("baseline", BASELINES)
def test_integrated_gradients_of_a_linear_model_are_its_terms(baseline: str) -> None:
    model, images = linear(), some_images(2, 8)
    targets = torch.tensor([0, 1])
    terms = model.weights[:2] * (images - BASELINES[baseline](images))
    got = contributions(model, images, targets, steps=3, baseline=baseline)
    torch.testing.assert_close(got, terms, rtol=1e-4, atol=1e-5)
    maps, _ = METHODS["integrated_gradients"](
        model, images, targets, seeds=[0, 0], steps=3, baseline=baseline
    )
    torch.testing.assert_close(maps, terms.sum(1).abs(), rtol=1e-4, atol=1e-5)


def test_integrated_gradients_add_up_to_the_difference_of_the_class_scores() -> None:
    model, images = small_model(), some_images()
    targets = torch.tensor([0, 1, 2])
    gain = (class_scores(model, images) - class_scores(model, BASELINES["mean"](images))).gather(
        1, targets[:, None]
    )[:, 0]
    total = contributions(model, images, targets, steps=128).sum((1, 2, 3))
    torch.testing.assert_close(total, gain, rtol=0.01, atol=1e-3)


def test_occlusion_of_a_linear_model_sees_what_the_cover_takes_away() -> None:
    weights = torch.zeros(1, 3, 8, 8)
    weights[0, :, 2:4, 4:6] = 1.0
    images = torch.full((1, 3, 8, 8), 0.25)
    images[0, :, 2:4, 4:6] = 1.0
    target = torch.tensor([0])
    maps, _ = occlusion(Linear(weights), images, target, seeds=[0], window=0.25, stride=0.25)
    drop = 12 * (1 - images.mean())
    expected = torch.zeros(1, 8, 8)
    expected[0, 2:4, 4:6] = drop
    torch.testing.assert_close(maps, expected, atol=1e-5, rtol=1e-5)


@given(side=st.integers(1, 40), window=st.floats(0.05, 1), share=st.floats(0.3, 1))
@settings(max_examples=50, deadline=None)
def test_windows_cover_every_pixel(side: int, window: float, share: float) -> None:
    rows = sorted({(down.start, down.stop) for down, _ in windows(side, 1, window, window * share)})
    assert rows[0][0] == 0
    assert rows[-1][1] == side
    assert all(later[0] <= earlier[1] for earlier, later in pairwise(rows))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("smoothgrad", {"samples": 0}),
        ("smoothgrad", {"noise": -1}),
        ("integrated_gradients", {"steps": 0}),
        ("integrated_gradients", {"baseline": "blak"}),
        ("occlusion", {"stride": 0.5, "window": 0.25}),
        ("occlusion", {"stride": 0.0}),
    ],
)
def test_options_out_of_range_are_named(name: str, options: dict[str, object]) -> None:
    with pytest.raises(ManifestError, match=r"saliency\.options"):
        METHODS[name](small_model(), some_images(1), torch.tensor([0]), seeds=[0], **options)


# Targets


def test_a_contrast_is_the_lead_over_the_best_other_class() -> None:
    class Fixed(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.tensor([[1.0, 5.0, 3.0]]).expand(len(images), 3)

    assert Contrast(Fixed())(some_images(1)).tolist() == [[-4.0, 2.0, -2.0]]


def test_the_gradient_of_a_contrast_is_a_difference_of_weights() -> None:
    model, images = linear(), some_images(1, 8)
    order = model(images)[0].argsort(descending=True)
    for own, rival in ((order[0], order[1]), (order[2], order[0])):
        found = explain(model, images, own[None], method=gradient, target="contrast", seeds=[0])
        expected = (model.weights[own] - model.weights[rival]).abs().amax(0)
        torch.testing.assert_close(found.maps[0], expected)


def test_predicted_explains_the_class_with_the_highest_score() -> None:
    model, images = linear(), some_images(4, 8)
    labels = torch.zeros(4, dtype=torch.int64)
    found = explain(model, images, labels, method=gradient, target="predicted", seeds=[0] * 4)
    assert torch.equal(found.targets, model(images).argmax(1))
    torch.testing.assert_close(found.maps, model.weights[found.targets].abs().amax(1))


def test_a_contrast_needs_a_second_class() -> None:
    with pytest.raises(ModelError, match="two classes"):
        explain(
            linear(classes=1),
            some_images(1, 8),
            torch.tensor([0]),
            method=gradient,
            target="contrast",
            seeds=[0],
        )


def test_a_users_method_that_returns_no_maps_is_refused() -> None:
    def signed(model: nn.Module, images: Tensor, targets: Tensor, *, seeds: object) -> Tensor:
        return -images[:, 0]

    def flat(model: nn.Module, images: Tensor, targets: Tensor, *, seeds: object) -> Tensor:
        return images.flatten(1)

    call = (small_model(), some_images(2), torch.tensor([0, 1]))
    with pytest.raises(ManifestError, match="negative"):
        explain(*call, method=signed, seeds=[0, 0])
    with pytest.raises(ManifestError, match="shape"):
        explain(*call, method=flat, seeds=[0, 0])
    with pytest.raises(ManifestError, match=r"saliency\.target"):
        explain(*call, method=gradient, target="margin", seeds=[0, 0])
    with pytest.raises(ValueError, match="seed per image"):
        explain(*call, method=gradient, seeds=[0])


def test_a_users_method_may_return_maps_alone_or_class_scores_beside_them() -> None:
    def alone(model: nn.Module, images: Tensor, targets: Tensor, *, seeds: object) -> Tensor:
        return images[:, 0]

    def both(
        model: nn.Module, images: Tensor, targets: Tensor, *, seeds: object
    ) -> tuple[Tensor, Tensor]:
        return images[:, 0], model(images)

    def wrong(
        model: nn.Module, images: Tensor, targets: Tensor, *, seeds: object
    ) -> tuple[Tensor, Tensor]:
        return images[:, 0], model(images)[0]

    call = (small_model(), some_images(2), torch.tensor([0, 1]))
    for method in (alone, both):
        found = explain(*call, method=method, seeds=[0, 0])
        assert torch.equal(found.maps, call[1][:, 0])
        assert (found.scores is None) == (method is alone)
    assert found.scores is not None
    torch.testing.assert_close(found.scores, class_scores(*call[:2]), rtol=1e-5, atol=1e-6)
    # Margins are no class scores.
    assert explain(*call, method=both, seeds=[0, 0], target="contrast").scores is None
    with pytest.raises(ManifestError, match=r"class scores \(2, K\)"):
        explain(*call, method=wrong, seeds=[0, 0])


def test_a_network_without_gradients_is_named() -> None:
    class Cut(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.detach()

    model = nn.Sequential(nn.Conv2d(3, 4, 3), Cut(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    call = (model, some_images(1), torch.tensor([0]))
    with pytest.raises(ModelError, match="occlusion"):
        gradient(*call, seeds=[0])
    with pytest.raises(ModelError, match="another layer"):
        METHODS["gradcam"](*call, seeds=[0], layer="0")
    assert occlusion(*call, seeds=[0])[0].isfinite().all()


# Class activation maps


def hand_made() -> nn.Module:
    """Two channels, red and green; class 0 wants red and dislikes green."""
    convolution = nn.Conv2d(3, 2, 1, bias=False)
    head = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[0, 0] = convolution.weight[1, 1] = 1.0
        head.weight.copy_(torch.tensor([[2.0, -1.0], [0.0, 1.0]]))
    return nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def test_gradcam_by_hand() -> None:
    images = some_images(1, 8)
    maps, _ = METHODS["gradcam"](hand_made(), images, torch.tensor([0]), seeds=[0])
    expected = (2 * images[:, 0] - images[:, 1]).clamp_min(0) / 64
    torch.testing.assert_close(maps, expected)


def test_layercam_by_hand() -> None:
    images = some_images(1, 8)
    maps, _ = METHODS["layercam"](hand_made(), images, torch.tensor([0]), seeds=[0])
    torch.testing.assert_close(maps, 2 * images[:, 0] / 64)


def test_gradcam_finds_the_object_at_low_resolution() -> None:
    images = torch.zeros(1, 3, 32, 32)
    images[0, 0, :8, 24:] = 1.0
    model = nn.Sequential(nn.AvgPool2d(4), hand_made())
    maps, _ = METHODS["gradcam"](model, images, torch.tensor([0]), seeds=[0], layer="1.0")
    assert divmod(int(maps.argmax()), 32)[0] < 8
    assert int(maps.argmax()) % 32 >= 24


def test_against_is_the_difference_of_two_class_scores() -> None:
    model = audited(small_network())
    images = some_images(3)
    scores = model(images)
    torch.testing.assert_close(Against(model, 1)(images), scores - scores[:, [1]])


# Agreement with Captum


def test_agreement_with_captum() -> None:
    # Captum's hooks cannot stand in-place activations; weights are the same.
    network = small_network()
    for layer in network:
        if hasattr(layer, "inplace"):
            layer.inplace = False
    model = audited(network)
    images, targets = some_images(), torch.tensor([0, 3, 4])
    close = {"rtol": 1e-5, "atol": 1e-6}

    pixels = images.clone().requires_grad_(True)
    theirs = Saliency(model).attribute(pixels, target=targets).amax(1)
    torch.testing.assert_close(gradient(model, images, targets, seeds=[0] * 3)[0], theirs, **close)

    theirs = IntegratedGradients(model).attribute(
        images,
        baselines=torch.zeros_like(images),
        target=targets,
        n_steps=32,
        method="riemann_middle",
    )
    ours = contributions(model, images, targets, steps=32, baseline="black")
    torch.testing.assert_close(ours, theirs.float(), **close)

    cam = LayerGradCam(model, model.module[4]).attribute(
        images, target=targets, relu_attributions=True
    )
    theirs = nn.functional.interpolate(cam, (32, 32), mode="bilinear", align_corners=False)[:, 0]
    ours, _ = METHODS["gradcam"](model, images, targets, seeds=[0] * 3, layer="4")
    torch.testing.assert_close(ours, theirs, **close)

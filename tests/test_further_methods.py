"""Guided backpropagation, rollouts of attention and covers at random: what each keeps to."""

from __future__ import annotations

import math
from functools import cache, partial

import pytest
import timm
import torch
import torch.nn.functional as F
from captum.attr import GuidedBackprop, InputXGradient, IntegratedGradients, Occlusion, Saliency
from families import TINY_VIT, built, named, of_timm, vit, with_a_head
from scipy.stats import spearmanr
from test_saliency import Scaled, linear, some_images
from torch import Tensor, nn

from audit.errors import ManifestError, NoAttentionError, NotRectifiedError
from audit.geometry import Geometry
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.saliency import METHODS, class_scores
from audit.saliency.attention import gradient_rollout
from audit.saliency.choosing import Unserved, choose_method
from audit.saliency.contributions import (
    completeness_error,
    contributions,
    gradient_x_input,
    products,
)
from audit.saliency.gradients import gradient, pixel_gradient
from audit.saliency.guided import guided_backprop
from audit.saliency.occlusion import covers, rise

CLOSE = {"rtol": 1e-5, "atol": 1e-7}


def audited(network: nn.Module, side: int = 32) -> AuditedModel:
    return AuditedModel(network.eval(), None, Geometry(side), (0.5,) * 3, (0.25,) * 3)


class Rectified(nn.Module):
    """ReLUs of every kind: a module, in place, a function, ReLU6; each called once for Captum."""

    def __init__(self, *, modules: bool = True) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 7, 3), nn.Conv2d(7, 9, 3, stride=2)
        self.act, self.act2, self.act3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.hidden, self.head = nn.Linear(9 * 14 * 14, 17), nn.Linear(17, 5)
        self.modules_ = modules

    def forward(self, images: Tensor) -> Tensor:
        if self.modules_:
            features = self.act2(self.second(self.act(self.first(images))))
            scores: Tensor = self.head(self.act3(self.hidden(features.flatten(1))))
            return scores
        features = F.relu(self.second(self.first(images).relu_()), inplace=True)
        functional: Tensor = self.head(torch.relu(self.hidden(features.flatten(1))))
        return functional


@cache
def cnn(modules: bool = True) -> Engine:
    torch.manual_seed(3)
    return Engine(audited(Rectified(modules=modules)))


@cache
def small_vit() -> Engine:
    torch.manual_seed(0)
    return Engine(audited(with_a_head(vit()), 64))


# Agreement with Captum, on a CNN and a ViT


def pictures(model: Engine) -> tuple[Tensor, Tensor]:
    side = model.geometry.size
    return some_images(2, side), torch.tensor([0, 2])


every_network = pytest.mark.parametrize("make", [cnn, small_vit])


@every_network
def test_gradients_agree_with_captum(make) -> None:
    model = make()
    images, targets = pictures(model)
    pixels = images.clone().requires_grad_(True)
    theirs = Saliency(model).attribute(pixels, target=targets).amax(1)
    torch.testing.assert_close(gradient(model, images, targets, seeds=[0] * 2)[0], theirs, **CLOSE)
    theirs = InputXGradient(model).attribute(pixels, target=targets).detach()
    ours = products(images, pixel_gradient(model, images, targets)[0])
    torch.testing.assert_close(ours, theirs, **CLOSE)
    maps, _ = gradient_x_input(model, images, targets, seeds=[0] * 2)
    torch.testing.assert_close(maps, theirs.sum(1).abs(), **CLOSE)


@every_network
def test_integrated_gradients_agree_with_captum(make) -> None:
    model = make()
    images, targets = pictures(model)
    theirs = IntegratedGradients(model).attribute(
        images,
        baselines=torch.zeros_like(images),
        target=targets,
        n_steps=8,
        method="riemann_middle",
    )
    ours = contributions(model, images, targets, steps=8, baseline="black")
    torch.testing.assert_close(ours, theirs.float(), **CLOSE)


@every_network
def test_occlusion_agrees_with_captum(make) -> None:
    model = make()
    images, targets = pictures(model)
    side = model.geometry.size
    cover = side // 4
    # Covers that tile the image: those of ours at the edge are cut off, Captum's are not.
    theirs = Occlusion(model).attribute(
        images,
        sliding_window_shapes=(3, cover, cover),
        strides=(3, cover, cover),
        baselines=images.mean((2, 3), keepdim=True).expand_as(images),
        target=targets,
    )[:, 0]
    ours, _ = METHODS["occlusion"](model, images, targets, seeds=[0] * 2, window=0.25, stride=0.25)
    torch.testing.assert_close(ours, theirs.clamp_min(0), rtol=1e-5, atol=1e-6)


def test_guided_backprop_agrees_with_captum_whatever_a_relu_is_written_as() -> None:
    images, targets = some_images(), torch.tensor([0, 3, 4])
    # With the network in Captum's hands, its hooks would stay on ours.
    network = Rectified()
    network.load_state_dict(cnn().module.state_dict())
    with pytest.warns(UserWarning, match="backward hooks"):
        theirs = GuidedBackprop(audited(network)).attribute(
            images.clone().requires_grad_(True), target=targets
        )
    expected = theirs.abs().amax(1).detach()
    for modules in (True, False):
        maps, scores = guided_backprop(cnn(modules), images, targets, seeds=[0] * 3)
        torch.testing.assert_close(maps, expected, **CLOSE)
        torch.testing.assert_close(scores, class_scores(cnn(), images), rtol=1e-5, atol=1e-6)
    plain, _ = gradient(cnn(), images, targets, seeds=[0] * 3)
    assert not torch.allclose(plain, expected)


# Identities


def test_gradient_x_input_of_a_linear_model_sums_to_its_score() -> None:
    model, images = linear(), some_images(2, 8)
    targets = torch.tensor([2, 0])
    slopes, scores = pixel_gradient(model, images, targets)
    own = scores.gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(products(images, slopes).sum((1, 2, 3)), own, rtol=1e-4, atol=1e-4)
    maps, _ = gradient_x_input(model, images, targets, seeds=[0, 0])
    torch.testing.assert_close(maps, (model.weights[targets] * images).sum(1).abs())


def test_the_completeness_error_is_that_of_the_quadrature() -> None:
    images, targets = some_images(2), torch.tensor([0, 3])
    coarse = completeness_error(cnn(), images, targets, steps=2)
    fine = completeness_error(cnn(), images, targets, steps=128)
    assert bool((fine < 0.01).all())
    assert float(coarse.mean()) > float(fine.mean())
    assert completeness_error(linear(), some_images(2, 8), targets[[0, 0]], steps=1).amax() < 1e-4
    flat = torch.full((1, 3, 32, 32), 0.5)
    assert math.isnan(float(completeness_error(cnn(), flat, torch.tensor([0]))))


# Class activation maps by their published formulae


class Pooled(nn.Module):
    """Maps that are averaged and read linearly."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU())
        self.head = nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.maps(images).mean((2, 3)))
        return scores


@cache
def pooled() -> Engine:
    torch.manual_seed(5)
    return Engine(audited(Pooled()))


def test_hirescam_of_averaged_maps_read_linearly_is_gradcam() -> None:
    call = (pooled(), some_images(), torch.tensor([0, 1, 2]))
    options = {"seeds": [0] * 3, "layer": "maps"}
    ours, _ = METHODS["hirescam"](*call, **options)
    torch.testing.assert_close(ours, METHODS["gradcam"](*call, **options)[0], **CLOSE)
    other, _ = METHODS["hirescam"](cnn(), *call[1:], seeds=[0] * 3, layer="act2")
    assert not torch.allclose(
        other, METHODS["gradcam"](cnn(), *call[1:], seeds=[0] * 3, layer="act2")[0]
    )


CAMS = {
    "gradcam": lambda a, g: (g.mean((2, 3), keepdim=True) * a).sum(1),
    "hirescam": lambda a, g: (g * a).sum(1),
    "layercam": lambda a, g: (g.clamp_min(0) * a).sum(1),
    "gradcam_plus_plus": lambda a, g: (
        (
            torch.nan_to_num(g**2 / (2 * g**2 + a.sum((2, 3), keepdim=True) * g**3))
            * g.clamp_min(0)
        ).sum((2, 3), keepdim=True)
        * a
    ).sum(1),
}


@pytest.mark.parametrize("name", CAMS)
def test_a_class_activation_map_is_its_published_formula(name: str) -> None:
    network = cnn().module.double()
    try:
        images, targets = some_images().double(), torch.tensor([0, 3, 4])
        ours, _ = METHODS[name](network, images, targets, seeds=[0] * 3, layer="act2")
        features = network.act2(network.second(network.act(network.first(images)))).detach()
        features.requires_grad_(True)
        scores = network.head(network.act3(network.hidden(features.flatten(1))))
        (slopes,) = torch.autograd.grad(scores.gather(1, targets[:, None]).sum(), features)
        cam = CAMS[name](features.detach(), slopes).clamp_min(0)
        expected = F.interpolate(cam[:, None], (32, 32), mode="bilinear", align_corners=False)
        torch.testing.assert_close(ours, expected[:, 0].float(), **CLOSE)
        assert float(ours.sum()) > 0
    finally:
        network.float()


# Rollouts of attention


def chefer_of_timm(network: nn.Module, image: Tensor, target: int) -> Tensor:
    """The published algorithm for one image, on timm's attention written out."""
    for block in network.blocks:
        block.attn.fused_attn = False
    kept = []
    handles = [
        block.attn.attn_drop.register_forward_hook(lambda _m, _i, out: kept.append(out))
        for block in network.blocks
    ]
    score = network(image)[0, target]
    slopes = torch.autograd.grad(score, kept)
    for handle in handles:
        handle.remove()
    for block in network.blocks:
        block.attn.fused_attn = True
    relevance = torch.eye(kept[0].shape[-1])
    for attention, slope in zip(kept, slopes, strict=True):
        relevance = relevance + (attention * slope)[0].clamp_min(0).mean(0) @ relevance
    return relevance.detach()


@pytest.mark.parametrize(
    ("name", "prefix"), [("vit_small_patch14_reg4_dinov2", 5), ("deit_tiny_patch16_224", 1)]
)
def test_a_rollout_is_the_published_algorithm_in_a_batch(name: str, prefix: int) -> None:
    torch.manual_seed(0)
    side = 56
    patch = 14 if "14" in name else 16
    side = 4 * patch
    network = with_a_head(of_timm(name, **{**TINY_VIT, "img_size": side})).eval()
    images, targets = torch.rand(3, 3, side, side), torch.tensor([0, 1, 2])
    maps, scores = gradient_rollout(network, images, targets, seeds=[0] * 3)
    torch.testing.assert_close(scores, network(images).detach(), rtol=1e-4, atol=1e-6)
    for one, image, target in zip(maps, images, targets, strict=True):
        row = chefer_of_timm(network, image[None], int(target))[0, prefix:].view(1, 1, 4, 4)
        expected = F.interpolate(row, (side, side), mode="bilinear", align_corners=False)[0, 0]
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-9)


def test_a_rollout_sees_fused_attention_and_that_of_pytorch_alike() -> None:
    """torchvision's `nn.MultiheadAttention`, and the same weights in timm's attention."""
    model = small_vit()
    network = model.module
    twin = timm.create_model(
        "vit_tiny_patch16_224", img_size=64, patch_size=16, embed_dim=32, depth=2, num_heads=2,
        mlp_ratio=2, num_classes=3, drop_rate=0,
    ).eval()  # fmt: skip
    state = {
        "cls_token": network.class_token,
        "pos_embed": network.encoder.pos_embedding,
        "patch_embed.proj.weight": network.conv_proj.weight,
        "patch_embed.proj.bias": network.conv_proj.bias,
        "norm.weight": network.encoder.ln.weight,
        "norm.bias": network.encoder.ln.bias,
        "head.weight": network.heads.head.weight,
        "head.bias": network.heads.head.bias,
    }
    for place, block in enumerate(network.encoder.layers):
        parts = {
            "norm1": block.ln_1,
            "norm2": block.ln_2,
            "attn.proj": block.self_attention.out_proj,
            "mlp.fc1": block.mlp[0],
            "mlp.fc2": block.mlp[3],
        }
        for name, part in parts.items():
            for kind in ("weight", "bias"):
                state[f"blocks.{place}.{name}.{kind}"] = getattr(part, kind)
        state[f"blocks.{place}.attn.qkv.weight"] = block.self_attention.in_proj_weight
        state[f"blocks.{place}.attn.qkv.bias"] = block.self_attention.in_proj_bias
    twin.load_state_dict(state)
    images, targets = some_images(2, 64), torch.tensor([0, 2])
    ours, scores = gradient_rollout(model, images, targets, seeds=[0, 0])
    theirs, again = gradient_rollout(audited(twin, 64), images, targets, seeds=[0, 0])
    torch.testing.assert_close(scores, again, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)
    assert float(ours.sum()) > 0


def test_a_rollout_of_averaged_places_is_the_mean_of_their_rows() -> None:
    network, side = built("timm BEiT")
    images, targets = some_images(2, side), torch.tensor([0, 1])
    maps, _ = gradient_rollout(network, images, targets, seeds=[0, 0])
    relevance = chefer_of_timm(network, images[1:], 1) - torch.eye(17)
    row = relevance[1:].mean(0)[1:].view(1, 1, 4, 4)
    expected = F.interpolate(row, (side, side), mode="bilinear", align_corners=False)[0, 0]
    torch.testing.assert_close(maps[1], expected, rtol=1e-3, atol=1e-12)


# What cannot be served


@pytest.mark.parametrize(
    ("name", "network", "taken", "reason"),
    [
        ("gradient_rollout", cnn, "gradcam", Unserved.NO_ATTENTION),
        ("guided_backprop", small_vit, "gradient", Unserved.NOT_RECTIFIED),
        ("gradient_rollout", small_vit, "gradient_rollout", None),
        ("guided_backprop", cnn, "guided_backprop", None),
    ],
)
def test_what_a_network_cannot_serve_is_served_by_another(name, network, taken, reason) -> None:
    model = network()
    images, targets = pictures(model)
    chosen = choose_method(METHODS[name], name, {}, model=model, image=images[:1])
    assert (chosen.name, chosen.reason) == (taken, reason)
    assert chosen.instead_of == (None if reason is None else name)
    maps, _ = chosen.method(model, images, targets, seeds=[0, 0])
    assert float(maps.sum()) > 0
    if reason is not None:
        with pytest.raises((NoAttentionError, NotRectifiedError), match=r"Use saliency\.method"):
            METHODS[name](model, images, targets, seeds=[0, 0])


def test_an_activation_without_a_rule_is_named() -> None:
    with pytest.raises(NotRectifiedError, match="hardswish"):
        guided_backprop(
            named("mobilenet_v3_small").eval(), some_images(1, 64), torch.tensor([0]), seeds=[0]
        )
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))
    with pytest.raises(NotRectifiedError, match="none that can be seen"):
        guided_backprop(flat, some_images(1, 8), torch.tensor([0]), seeds=[0])


# Covers at random


def test_rise_of_a_linear_model_finds_the_pixels_it_reads() -> None:
    weights = torch.zeros(1, 3, 16, 16)
    weights[0, :, 4:8, 8:12] = 1.0
    images = torch.full((1, 3, 16, 16), 0.25)
    images[0, :, 4:8, 8:12] = 1.0

    class Read(nn.Module):
        def forward(self, asked: Tensor) -> Tensor:
            return torch.einsum("nchw,kchw->nk", asked, weights)

    call = (Read(), images, torch.tensor([0]))
    maps, _ = rise(*call, seeds=[1], cells=4, samples=512)
    assert float(maps[0, 4:8, 8:12].mean()) > 3 * float(maps.mean())
    assert torch.equal(maps, rise(*call, seeds=[1], cells=4, samples=512)[0])
    assert not torch.equal(maps, rise(*call, seeds=[2], cells=4, samples=512)[0])


def test_covers_show_the_share_that_was_asked_for() -> None:
    drawn = torch.stack(list(covers(400, (30, 40), 5, 0.3, torch.Generator().manual_seed(0))))
    assert drawn.shape == (400, 30, 40)
    assert 0 <= float(drawn.amin()) < float(drawn.amax()) <= 1
    torch.testing.assert_close(drawn.mean(0), torch.full((30, 40), 0.3), atol=0.1, rtol=0)


@pytest.mark.parametrize(
    "options", [{"samples": 1}, {"cells": 1}, {"shown": 0.0}, {"shown": 1.0}, {"samples": 5000}]
)
def test_options_of_rise_out_of_range_are_named(options: dict[str, float]) -> None:
    with pytest.raises(ManifestError, match=r"saliency\.options"):
        rise(cnn(), some_images(1), torch.tensor([0]), seeds=[0], **options)


# Whatever the batch


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("gradient_rollout", small_vit),
        ("guided_backprop", cnn),
        ("gradient_x_input", small_vit),
        ("rise", small_vit),
    ],
)
def test_a_map_is_the_same_to_the_last_bit_in_any_batch(name: str, make) -> None:
    model = make()
    method = partial(METHODS[name], **({"samples": 8} if name == "rise" else {}))
    images, targets = some_images(5, model.geometry.size), torch.tensor([0, 1, 2, 0, 1])
    whole, _ = method(model, images, targets, seeds=[5, 6, 7, 8, 9])
    for first, last in ((4, 5), (1, 3)):
        part, _ = method(
            model, images[first:last], targets[first:last], seeds=[5, 6, 7, 8, 9][first:last]
        )
        assert torch.equal(part, whole[first:last])


# Agreement with pytorch-grad-cam, where it is installed: it brings OpenCV, so the lock does not

PEERS = {
    "gradcam": "GradCAM",
    "gradcam_plus_plus": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("make", [cnn, pooled, small_vit])
def test_class_activation_maps_agree_with_pytorch_grad_cam(name: str, make) -> None:
    peers = pytest.importorskip("pytorch_grad_cam")

    # A millionth stands below its fraction of Grad-CAM++: no small derivatives, or it would count.
    factor = 1000.0
    model = make()
    images, targets = pictures(model)
    options = {}
    if make is small_vit:
        layer = "encoder.layers.encoder_layer_1.ln_1"
        options["reshape_transform"] = lambda tokens: (
            tokens[:, 1:].reshape(len(tokens), 4, 4, -1).permute(0, 3, 1, 2)
        )
    else:
        layer = "act2" if make is cnn else "maps"
    module = model.module.get_submodule(layer)
    asked = model.model.requires_grad_(True)
    with getattr(peers, PEERS[name])(asked, [module], **options) as explained:
        theirs = explained(images, [lambda s, k=k: factor * s[k] for k in targets.tolist()])
    ours, _ = METHODS[name](
        Scaled(model, factor), images, targets, seeds=[0, 0], layer=f"model.model.module.{layer}"
    )
    for one, other in zip(ours.numpy(), theirs, strict=True):
        rank = spearmanr(one.ravel(), other.ravel()).statistic
        assert rank > 0.999, rank

"""The layer that class activation maps look at, and where in its output the image's places lie."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import timm
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.vgg import make_layers

from audit.errors import ManifestError, ModelError
from audit.geometry import Geometry
from audit.models import AuditedModel
from audit.saliency import METHODS, Against, Contrast
from audit.saliency.choosing import MethodChoice, Unserved, choose_method
from audit.saliency.grids import Grid, find_grid
from audit.saliency.layers import find_layer


@pytest.fixture(autouse=True)
def _single_thread() -> Iterator[None]:
    """On a busy machine the threads of tiny kernels mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def audited(network: nn.Module, **options: object) -> AuditedModel:
    return AuditedModel(network, None, Geometry(32), (0.5,) * 3, (0.25,) * 3, **options)


def some_images(count: int, side: int) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def hooks_of(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


# Networks that people have, small


def of_torchvision(name: str) -> nn.Module:
    return models.get_model(name, weights=None, num_classes=5)


def small_vgg() -> nn.Module:
    return nn.Sequential(
        make_layers([8, "M", 8, "M", 8, "M", 8, 8, "M", 16, 16, "M"], batch_norm=False),
        nn.AdaptiveAvgPool2d(7),
        nn.Flatten(),
        nn.Linear(16 * 49, 5),
    )


def small_convnext() -> nn.Module:
    blocks = [(8, 16), (16, 24), (24, 32), (32, None)]
    return models.ConvNeXt([CNBlockConfig(a, b, 1) for a, b in blocks], num_classes=5)


def small_vit() -> nn.Module:
    torch.manual_seed(0)
    network = models.VisionTransformer(64, 16, 3, 2, 32, 64, num_classes=5)
    nn.init.normal_(network.heads.head.weight)
    return network


def small_swin() -> nn.Module:
    return models.SwinTransformer([4, 4], 16, [1, 1, 1], [2, 2, 2], [4, 4], num_classes=5)


def small_maxvit() -> nn.Module:
    return models.MaxVit(
        input_size=(64, 64),
        stem_channels=8,
        partition_size=2,
        block_channels=[8, 16],
        block_layers=[1, 1],
        head_dim=8,
        stochastic_depth_prob=0.0,
        num_classes=5,
    )


def of_timm(name: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=5, **options)
    return network


SHORT = {"depth": 2, "embed_dim": 32, "num_heads": 2}
CLASS_TOKEN = {"global_pool": "token", **SHORT}
"""Of the last two blocks the first normalisation of the last is what the class token reads."""

FAMILIES: dict[str, tuple[Callable[[], nn.Module], int, str, Grid]] = {
    "resnet": (partial(of_torchvision, "resnet18"), 128, "layer4", Grid(4, 4)),
    "mobilenet": (partial(of_torchvision, "mobilenet_v2"), 128, "features", Grid(4, 4)),
    "efficientnet": (partial(of_torchvision, "efficientnet_b0"), 128, "features", Grid(4, 4)),
    "densenet": (partial(of_torchvision, "densenet121"), 128, "features", Grid(4, 4)),
    "squeezenet": (partial(of_torchvision, "squeezenet1_1"), 96, "classifier.2", Grid(5, 5)),
    "shufflenet": (partial(of_torchvision, "shufflenet_v2_x0_5"), 128, "conv5", Grid(4, 4)),
    "vgg": (small_vgg, 128, "0", Grid(4, 4)),
    "convnext": (small_convnext, 128, "features", Grid(4, 4)),
    "vit": (small_vit, 64, "encoder.layers.encoder_layer_2.ln_1", Grid(4, 4, "NTC", 1)),
    "swin": (small_swin, 64, "permute", Grid(4, 4)),
    "maxvit": (small_maxvit, 64, "blocks.1", Grid(8, 8)),
    "timm resnet": (partial(of_timm, "test_resnet"), 128, "layer4", Grid(4, 4)),
    "timm convnext": (partial(of_timm, "test_convnext"), 128, "norm_pre", Grid(4, 4)),
    "timm efficientnet": (partial(of_timm, "test_efficientnet"), 128, "bn2", Grid(4, 4)),
    "timm vit": (
        partial(of_timm, "vit_tiny_patch16_224", img_size=64, **CLASS_TOKEN),
        *(64, "blocks.1.norm1", Grid(4, 4, "NTC", 1)),
    ),
    "timm vit, pooled": (
        partial(of_timm, "vit_tiny_patch16_224", img_size=64, **SHORT, global_pool="avg"),
        *(64, "norm", Grid(4, 4, "NTC", 1)),
    ),
    "deit": (
        partial(of_timm, "deit_tiny_distilled_patch16_224", img_size=64, **CLASS_TOKEN),
        *(64, "blocks.1.norm1", Grid(4, 4, "NTC", 2)),
    ),
    "beit": (
        partial(of_timm, "beit_base_patch16_224", img_size=64, **SHORT),
        *(64, "norm", Grid(4, 4, "NTC", 1)),
    ),
    "dinov2": (
        partial(of_timm, "vit_small_patch14_reg4_dinov2", img_size=70, **CLASS_TOKEN),
        *(70, "blocks.1.norm1", Grid(5, 5, "NTC", 5)),
    ),
    "timm swin": (
        partial(
            of_timm,
            "swin_tiny_patch4_window7_224",
            img_size=64,
            window_size=4,
            embed_dim=16,
            depths=(1, 1, 1),
            num_heads=(2, 2, 2),
        ),
        *(64, "norm", Grid(4, 4, "NHWC")),
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_end_of_the_last_stage_is_found_and_both_methods_read_it(family: str) -> None:
    build, side, name, grid = FAMILIES[family]
    model = audited(build())
    images = some_images(1, side)
    found = find_layer(Contrast(model), images, None)
    assert (found.name, found.grid) == (name, grid)
    assert found.module is model.module.get_submodule(name)
    for method in ("gradcam", "layercam"):
        maps, _ = METHODS[method](model, images, torch.tensor([1]), seeds=[0])
        assert maps.shape == (1, side, side)
        assert maps.isfinite().all()
    assert hooks_of(model) == 0


@pytest.mark.parametrize("family", ["vit", "timm vit", "timm swin", "dinov2"])
@pytest.mark.parametrize("method", ["gradcam", "layercam"])
def test_the_maps_of_a_transformer_do_not_depend_on_the_batch(family: str, method: str) -> None:
    build, side, _, _ = FAMILIES[family]
    model, images = audited(build()), some_images(5, side)
    targets, seeds = torch.arange(5), list(range(5))
    together, _ = METHODS[method](model, images, targets, seeds=seeds)
    for first, last in ((0, 1), (1, 3), (2, 5)):
        part = slice(first, last)
        alone, _ = METHODS[method](model, images[part], targets[part], seeds=seeds[part])
        assert torch.equal(alone, together[part])


# The rule, on networks made by hand


class Arranged(nn.Module):
    """Maps that go on in another form, with tokens that belong to no place before them."""

    def __init__(self, axes: str, prefix: int) -> None:
        super().__init__()
        self.axes, self.prefix = axes, prefix

    def forward(self, maps: Tensor) -> Tensor:
        if self.axes == "NCHW":
            return maps * 1
        if self.axes == "NHWC":
            return maps.permute(0, 2, 3, 1)
        tokens = nn.functional.pad(maps.flatten(2), (self.prefix, 0), value=9.0)
        return tokens.permute(*("NCT".index(axis) for axis in self.axes))


class Pooled(nn.Module):
    """A class score from the mean over all places."""

    def __init__(self, axes: str, prefix: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 4, stride=4)
        self.form = Arranged(axes, prefix)
        self.head = nn.Linear(6, 4)

    def forward(self, images: Tensor) -> Tensor:
        grid = self.form(self.stem(images))
        axes = self.form.axes
        if "T" in axes:
            tokens = grid.permute(*(axes.index(axis) for axis in "NTC"))
            return self.head(tokens[:, self.form.prefix :].mean(1))
        return self.head(grid.mean([axes.index("H"), axes.index("W")]))


def pooled(axes: str, prefix: int = 0) -> nn.Module:
    torch.manual_seed(0)
    return Pooled(axes, prefix)


FORMS = [("NHWC", 0), ("NTC", 0), ("NTC", 1), ("NTC", 5), ("TNC", 1), ("NCT", 0)]


@pytest.mark.parametrize("method", ["gradcam", "layercam"])
@pytest.mark.parametrize(("axes", "prefix"), FORMS)
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_the_form_of_the_grid_changes_no_map(
    axes: str, prefix: int, size: tuple[int, int], method: str
) -> None:
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    call = (images, torch.tensor([1, 2]))
    expected, _ = METHODS[method](pooled("NCHW"), *call, seeds=[0, 0])
    network = pooled(axes, prefix)
    assert find_layer(network, images, None).name == "form"
    torch.testing.assert_close(METHODS[method](network, *call, seeds=[0, 0])[0], expected)
    assert expected.any()


@given(
    rows=st.integers(2, 40),
    columns=st.integers(2, 40),
    channels=st.integers(64, 2048),
    prefix=st.integers(0, 5),
    patch=st.integers(4, 32),
)
def test_a_grid_is_read_from_the_form_that_it_was_written_in(
    rows: int, columns: int, channels: int, prefix: int, patch: int
) -> None:
    image = (rows * patch, columns * patch)
    # (4, 16, 64) of an image four times as wide as high is either form.
    assume(rows * channels != columns**2)
    assert find_grid((1, channels, rows, columns), image) == Grid(rows, columns)
    assert find_grid((1, rows, columns, channels), image) == Grid(rows, columns, "NHWC")
    seen = [Grid(rows, columns)]
    tokens = prefix + rows * columns
    for shape, axes in (((1, tokens, channels), "NTC"), ((tokens, 1, channels), "TNC")):
        found = find_grid(shape, image, seen)
        # Fewer tokens beside a grid of other size are the better guess; they are never more.
        assert found is not None
        assert found.axes == axes
        assert found.prefix <= prefix
        assert found.prefix + found.rows * found.columns == tokens


@pytest.mark.parametrize(
    "shape", [(1, 5), (1, 8, 1, 1), (1, 12, 197, 64), (1, 50, 7, 9), (3, 4, 5)]
)
def test_what_has_no_places_is_no_grid(shape: tuple[int, ...]) -> None:
    assert find_grid(shape, (224, 224)) is None


class Block(nn.Module):
    """Halves the grid between its two layers, as the first block of a stage does."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(channels, 2 * channels, 1)
        self.halved = nn.Conv2d(2 * channels, channels, 3, stride=2, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        return self.halved(self.wide(maps))


def staged(stages: int) -> nn.Module:
    blocks = [nn.Sequential(Block(4), nn.ReLU()) for _ in range(stages)]
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.Sequential(*blocks),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )


def test_maps_below_4x4_send_back_to_the_stage_before() -> None:
    model = staged(4)
    assert find_layer(model, some_images(1, 64), None).name == "1"
    # 2x2 at the end; not the layers inside the block that goes on from 4x4, which are half done.
    assert find_layer(model, some_images(1, 32), None).name == "1.2"
    assert find_layer(model, some_images(1, 32), None, smallest=2).name == "1"
    assert find_layer(model, some_images(1, 32), None, smallest=8).name == "1.1"


def test_where_nothing_reaches_4x4_the_largest_maps_are_taken() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 12, stride=10), nn.ReLU(), nn.Conv2d(4, 4, 2), nn.Flatten()
    )
    found = find_layer(network, some_images(1, 32), None)
    assert (found.name, found.grid) == ("1", Grid(3, 3))


def test_a_pool_of_fixed_size_is_no_layer_of_the_network() -> None:
    """VGG pools whatever comes to 7x7: at 64 pixels it makes 49 places out of four."""
    for side, name, grid in ((64, "0.17", Grid(4, 4)), (224, "0", Grid(7, 7))):
        found = find_layer(small_vgg(), some_images(1, side), None)
        assert (found.name, found.grid) == (name, grid)


def test_a_layer_that_the_score_does_not_read_is_passed_over() -> None:
    class TwoEnds(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.trunk = nn.Conv2d(3, 4, 4, stride=4)
            self.unread = nn.Conv2d(3, channels, 4, stride=4)
            self.head = nn.Linear(4, 2)

        def forward(self, images: Tensor) -> Tensor:
            maps = self.trunk(images)
            self.unread(images)
            return self.head(maps.mean((2, 3)))

    for channels in (4, 5):
        assert find_layer(TwoEnds(channels), some_images(1, 32), None).name == "trunk"


def test_a_wrapper_is_looked_through() -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Sequential(*list(of_torchvision("resnet18").children())[:-2])
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 3))

        def forward(self, images: Tensor) -> Tensor:
            return self.head(self.trunk(images))

    model = audited(Whole())
    assert find_layer(model, some_images(1, 128), None).name == "trunk"
    assert find_layer(model, some_images(1, 64), None).name == "trunk.6"


def test_a_named_layer_wins() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 4, stride=4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.Flatten(),
        nn.Linear(4 * 36, 2),
    )
    declared = audited(network, target_layer="0")
    images = some_images(1, 32)
    assert find_layer(declared, images, None).name == "0"
    assert find_layer(Contrast(declared), images, "2").name == "2"
    assert find_layer(Against(declared, 0), images, None).name == "0"
    with pytest.raises(ModelError, match="no layer 'convv'"):
        find_layer(declared, images, "convv")
    with pytest.raises(ModelError, match=r"expected \(N, C, h, w\)"):
        METHODS["gradcam"](declared, images, torch.tensor([0]), seeds=[0], layer="4")


def test_a_named_layer_of_a_transformer_is_read_too() -> None:
    name = "encoder.layers.encoder_layer_0"
    found = find_layer(audited(small_vit()), some_images(1, 64), name)
    assert (found.name, found.grid) == (name, Grid(4, 4, "NTC", 1))


def test_a_network_without_places_is_sent_to_the_gradient() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 8), nn.ReLU(), nn.Linear(8, 2))
    with pytest.raises(ModelError, match=r"use saliency\.method: gradient"):
        find_layer(audited(network), some_images(1, 32), None)


def test_tokens_in_no_grid_are_not_taken_for_the_patches_before_them() -> None:
    """Most tokens go on, in an order of their own."""

    class Routed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 4, stride=4)
            self.layers = nn.Sequential(*(nn.LayerNorm(8) for _ in range(3)))
            self.head = nn.Linear(8, 2)

        def forward(self, images: Tensor) -> Tensor:
            tokens = self.patches(images).flatten(2).transpose(1, 2)
            return self.head(self.layers(tokens[:, :45]).mean(1))

    with pytest.raises(ModelError, match="none was seen"):
        find_layer(Routed(), some_images(1, 32), None)


# The method that serves a model


def choice(name: str, network: nn.Module, side: int = 32, **options: object) -> MethodChoice:
    return choose_method(
        METHODS[name], name, options, model=audited(network), image=some_images(1, side)
    )


def test_a_method_that_serves_is_taken_with_its_layer_found_once() -> None:
    network = staged(3)
    found = choice("layercam", network)
    assert (found.name, found.instead_of, found.reason) == ("layercam", None, None)
    assert found.layer is not None
    assert found.layer.name == "1"
    call = (some_images(2, 32), torch.tensor([0, 1]))
    expected, _ = METHODS["layercam"](audited(network), *call, seeds=[0, 0])
    # Found in one network, it is looked up in the copy that is asked.
    maps, _ = found.method(audited(copy.deepcopy(network)), *call, seeds=[0, 0])
    assert torch.equal(maps, expected)
    with_steps = choice("integrated_gradients", network, steps=3)
    assert with_steps.method.keywords == {"steps": 3}
    assert with_steps.layer is None


def test_a_network_without_a_grid_is_served_by_the_gradient() -> None:
    found = choice("gradcam", nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)))
    assert (found.name, found.instead_of) == ("gradient", "gradcam")
    assert found.reason is Unserved.NO_GRID


@pytest.mark.parametrize("name", ["gradcam", "layercam", "gradient", "smoothgrad"])
def test_a_network_without_derivatives_is_served_by_occlusion(name: str) -> None:
    class Cut(nn.Module):
        def forward(self, scores: Tensor) -> Tensor:
            return scores.detach()

    network = nn.Sequential(*staged(3), Cut())
    found = choice(name, network)
    assert (found.name, found.instead_of) == ("occlusion", name)
    assert found.reason is Unserved.NO_DERIVATIVE
    maps, _ = found.method(audited(network), some_images(1, 32), torch.tensor([0]), seeds=[0])
    assert maps.any()


def test_what_somebody_orders_is_no_guess() -> None:
    with pytest.raises(ModelError, match="no layer 'convv'"):
        choice("gradcam", staged(3), layer="convv")
    with pytest.raises(ModelError, match="puts out"):
        choice("gradcam", staged(3), layer="3")
    with pytest.raises(ManifestError, match=r"saliency\.options\.layer: expected .* found 3"):
        choice("gradcam", staged(3), layer=3)
    foreign = choose_method(
        hooks_of, "mine:hooks_of", {}, model=staged(3), image=some_images(1, 32)
    )
    assert foreign.name == "mine:hooks_of"
    assert foreign.method.func is hooks_of

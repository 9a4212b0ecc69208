"""Swap maps: additive models give back their own weights, planted cues are found where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from planted import CLASSES, SCENES, ColourCounter, paint, write_dataset
from torch import Tensor

import audit
from audit.errors import InputError
from audit.findings import Side
from audit.measuring.part_findings import SwapMap, pointed_part
from audit.measuring.part_regression import PartFit
from audit.measuring.swap_maps import Donors, swap_map
from audit.report.overlays import signed_overlay

SIDE = 32


def square() -> Tensor:
    """An object in the middle."""
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[8:24, 8:24] = True
    return mask


def additive(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """A model of two classes: the first has a weight on every pixel, the second always 0."""

    def scores(images: Tensor) -> Tensor:
        first = (images.mean(1) * weight).sum((1, 2))
        return torch.stack([first, torch.zeros_like(first)], 1)

    return scores


def test_an_additive_model_gives_back_what_each_part_holds() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(SIDE, SIDE, generator=generator)
    image = torch.full((3, SIDE, SIDE), 0.75)
    donors = torch.full((1, 3, SIDE, SIDE), 0.25)
    found = swap_map(additive(weight), image, square(), 0, Donors(donors, donors), seed=1)
    # All parts together are the whole picture, whatever is soft between them.
    whole = found.body.effect + found.surroundings.effect
    assert whole == pytest.approx(-0.5 * float(weight.sum()), rel=1e-4)
    assert np.abs(found.error).max() < 1e-4
    assert found.surroundings == found.control
    assert found.difference.effect == pytest.approx(found.surroundings.effect - found.body.effect)
    # What is lost at all places of a part is the loss of the part.
    assert found.loss.sum() == pytest.approx(-found.effects[found.effects < 0].sum(), rel=1e-5)
    assert found.beyond_control.effect == 0
    part = found.effect[:8, :8]
    assert (part == part[0, 0]).all()
    assert part[0, 0] == pytest.approx(float(-0.5 * weight[:8, :8].sum()), abs=1.5)


def test_the_part_that_holds_the_cue_has_the_most_negative_effect() -> None:
    for corner, (top, left) in enumerate([(0, 0), (0, 24), (24, 0), (24, 24)]):
        weight = torch.zeros(SIDE, SIDE)
        weight[top : top + 6, left : left + 6] = 1.0
        image = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(corner)) / 2
        image[:, top : top + 6, left : left + 6] = 1.0
        donors = torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(9)) / 2
        found = swap_map(
            additive(weight), image, square(), 0, Donors(donors, donors[:0]), seed=corner
        )
        where = np.unravel_index(np.nanargmin(found.effect), found.effect.shape)
        assert (where[0] // 8, where[1] // 8) == (top // 8, left // 8)
        assert found.surroundings.effect < -5 * found.surroundings.error
        assert np.isnan(found.control.effect)
        assert found.control.estimate().value is None


@pytest.fixture(scope="module")
def planted() -> dict[str, SwapMap]:
    """One image of a class that counts its scene, and one of a class that counts its object."""
    model = ColourCounter(planted=[1]).eval()
    random = np.random.default_rng(0)

    def background(scene: int) -> Tensor:
        flat = torch.from_numpy(SCENES[scene] / 255).float()[:, None, None]
        return flat.expand(3, SIDE, SIDE)

    found = {}
    for label in (1, 2):
        image, mask = paint(random, label, label)
        found[CLASSES[label]] = swap_map(
            lambda images: model(images).detach(),
            torch.from_numpy(image).permute(2, 0, 1).float() / 255,
            torch.from_numpy(mask > 0),
            label,
            Donors(
                torch.stack([background(s) for s in range(6) if s != label]),
                torch.stack([background(label)]),
            ),
            seed=label,
        )
    return found


def test_what_a_class_counts_is_what_it_loses(planted: dict[str, SwapMap]) -> None:
    leaning, honest = planted[CLASSES[1]], planted[CLASSES[2]]
    assert leaning.beyond_control.effect < -5 * leaning.beyond_control.error
    assert honest.body.effect < -5 * honest.body.error
    assert abs(honest.beyond_control.effect) < 2 * honest.beyond_control.error


def test_the_same_seed_gives_the_same_map_and_another_nearly_the_same() -> None:
    weight = torch.ones(SIDE, SIDE)
    image = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    donors = torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(4))
    first, again, other = (
        swap_map(additive(weight), image, square(), 0, Donors(donors, donors), seed=seed)
        for seed in (5, 5, 6)
    )
    assert np.array_equal(first.effect, again.effect)
    assert not np.array_equal(first.effect, other.effect)
    assert (np.abs(first.effect - other.effect) < 5 * (first.error + other.error)).all()


def test_the_object_does_not_win_by_what_a_third_class_gains() -> None:
    """A look-alike pair that the scenery tells apart, and a third class that any background is."""
    mask = square().float()

    def scores(images: Tensor) -> Tensor:
        scenery = (images[:, 0] * (1 - mask)).sum((1, 2)) / (1 - mask).sum()
        body = (images[:, 1] * mask).sum((1, 2)) / mask.sum()
        return torch.stack([6 * body + 2 * scenery, 6 * body + 1, 4 - 6 * body], 1)

    image, donors = torch.ones(3, SIDE, SIDE), torch.zeros(1, 3, SIDE, SIDE)
    found = swap_map(scores, image, square(), 0, Donors(donors, donors[:0]), seed=2)
    assert found.rival == 1
    assert found.surroundings.effect == pytest.approx(-2, abs=0.2)
    assert abs(found.body.effect) < 0.2
    assert not found.is_object[found.pointed]
    other = swap_map(scores, image, square(), 0, Donors(donors, donors[:0], rival=2), seed=2)
    assert other.rival == 2
    assert other.is_object[other.pointed]


def test_too_little_to_measure_is_said() -> None:
    image, donors = torch.zeros(3, SIDE, SIDE), torch.zeros(2, 3, SIDE, SIDE)
    scores = additive(torch.ones(SIDE, SIDE))
    with pytest.raises(ValueError, match="found 0 donors"):
        swap_map(scores, image, square(), 0, Donors(donors[:0], donors), seed=0)
    with pytest.raises(ValueError, match="8 pictures"):
        swap_map(scores, image, square(), 0, Donors(donors, donors), seed=0, masks=8)


def test_parts_are_coloured_by_their_sign_and_only_where_certain() -> None:
    image = np.full((2, 4, 3), 100, np.uint8)
    effects = np.array([-2.0, 2.0, -0.1])
    held = a_map(effects, [False, False, True], errors=np.full(3, 0.5))
    orange, blue, unsure, missing = signed_overlay(image, held.strength)[0].astype(int)
    assert orange[0] > orange[2]
    assert blue[2] > blue[0]
    assert unsure.tolist() == missing.tolist() == [100, 100, 100]


def a_map(
    effects: NDArray[np.float64], on_object: list[bool], errors: NDArray[np.float64]
) -> SwapMap:
    """A swap map of columns of two pixels each, the last of none of its parts."""
    parts = np.eye(len(effects) + 1, dtype=bool)[: len(effects), None, :].repeat(2, 1)
    is_object = np.array(on_object)
    fit = PartFit(effects, np.diag(errors**2))
    sides = (fit.total(~is_object), fit.total(is_object), fit.total(np.where(is_object, -1.0, 1.0)))
    return SwapMap(parts, is_object, 0, effects, errors, *sides)


def test_a_scenery_is_told_and_drawn_by_its_sum_a_thing_by_its_part() -> None:
    on_object = [False] * 4 + [True]
    sure = np.full(5, 0.4)
    # Each part of the scenery costs less than the object, and less than can be told from nothing.
    scenery = a_map(np.array([-0.7, -0.6, -0.7, -0.6, -1.2]), on_object, sure)
    assert scenery.pointed in (0, 2)
    said = scenery.summary(["sea"], 0)
    assert said.pointed_at is Side.SURROUNDINGS
    assert said.difference is not None
    assert said.difference.value == pytest.approx(-1.4)
    assert scenery.difference.error == pytest.approx(0.4 * 5**0.5)
    drawn = scenery.strength[0]
    assert drawn[0] == -1
    assert (drawn[:4] < drawn[4]).all()
    # One thing in the surroundings: the others of its side stay grey, and it alone is compared.
    thing = a_map(np.array([-2.5, -0.1, 0.1, 0.0, -2.0]), on_object, sure)
    assert thing.pointed == 0
    assert (thing.strength[0][1:4] == 0).all()
    honest = a_map(np.array([-0.5, -0.6, -0.5, -0.6, -4.0]), on_object, sure)
    assert honest.pointed == 4
    assert honest.summary(["sea"], 0).pointed_at is Side.OBJECT


@given(
    effects=st.lists(st.floats(-9, 9), min_size=1, max_size=12),
    on_object=st.integers(0, 2**12 - 1),
)
def test_the_part_pointed_at_costs_most_of_its_side(effects: list[float], on_object: int) -> None:
    values = np.array(effects)
    is_object = np.array([bool(on_object >> at & 1) for at in range(len(effects))])
    chosen = pointed_part(values, is_object)
    assert values[chosen] == values[is_object == is_object[chosen]].min()
    assert pointed_part(values * 2, is_object) == chosen


def test_one_image_is_explained_by_parts_on_request(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [1], per_class=4)
    leaning = audit.explain(manifest, "bee/001.png", method="swap_map", against="cat", device="cpu")
    honest = audit.explain(manifest, "cat/001.png", method="swap_map", against="dog", device="cpu")
    assert leaning.part_effects is not None
    assert honest.part_effects is not None
    assert leaning.part_effects.donor_class == "cat"
    assert leaning.part_effects.beyond_control.high < 0  # type: ignore[operator]
    assert honest.part_effects.body.high < 0  # type: ignore[operator]
    assert honest.part_effects.beyond_control.low < 0 < honest.part_effects.beyond_control.high  # type: ignore[operator]
    assert leaning.foreground_mass < 0.5 < honest.foreground_mass  # type: ignore[operator]
    assert leaning.part_effects.difference.high < 0  # type: ignore[union-attr,operator]
    assert honest.part_effects.difference.low > 0  # type: ignore[union-attr,operator]
    bare = {"foreground.source": "none"}
    with pytest.raises(InputError, match="expected foregrounds"):
        audit.explain(manifest, "cat/001.png", method="swap_map", device="cpu", overrides=bare)

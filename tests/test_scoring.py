from __future__ import annotations

import math

import pytest
import torch
from drawing import foreground, ignored, maps
from hypothesis import given
from hypothesis import strategies as st

from audit.findings import Status
from audit.scoring import (
    STATUSES,
    foreground_area,
    foreground_mass,
    mass_lift,
    pointing_hit,
    rank_accuracy,
    score_maps,
)

MASK = """
    FFBB
    FFBB
    BBBB
    BBBB
"""
MAP = """
    4300
    1020
    0000
    0000
"""


def test_formulae_by_hand() -> None:
    mask, values = foreground(MASK), maps(MAP)
    assert foreground_area(mask).item() == 0.25
    assert foreground_mass(values, mask).item() == pytest.approx(0.8, abs=1e-12)
    expected = math.log(0.8 / 0.2) - math.log(0.25 / 0.75)
    lift = mass_lift(foreground_mass(values, mask), foreground_area(mask)).item()
    assert lift == pytest.approx(expected, abs=1e-9)
    # The four highest are 4, 3, 2, 1; three of them lie on the object of four pixels.
    assert rank_accuracy(values, mask).item() == 0.75
    assert bool(pointing_hit(values, mask))


def test_pixels_of_neither_side_count_for_neither() -> None:
    drawing = """
        F.BB
        F.BB
    """
    values = maps(
        """
        2910
        2900
        """
    )
    mask, neither = foreground(drawing), ignored(drawing)
    assert foreground_area(mask, neither).item() == pytest.approx(2 / 6)
    assert foreground_mass(values, mask, neither).item() == pytest.approx(4 / 5)
    assert rank_accuracy(values, mask, neither).item() == pytest.approx(1.0)
    assert bool(pointing_hit(values, mask, neither))


def test_statuses_and_undefined_numbers() -> None:
    nothing = "BB\nBB"
    half = "FB\nFB"
    full = "FF\nFF"
    masks = foreground(half, nothing, full, half, half)
    values = maps("10\n01", "10\n01", "10\n01", "00\n00", "10\n01")
    values[4, 0, 0] = torch.nan
    scores = score_maps(values, masks)
    expected = [
        Status.SCORED,
        Status.NO_FOREGROUND,
        Status.FULL_FOREGROUND,
        Status.BLANK_MAP,
        Status.NOT_FINITE,
    ]
    assert [STATUSES[place] for place in scores["status"].tolist()] == expected
    for name in ("foreground_mass", "mass_lift", "rank_accuracy", "pointing_hit"):
        column = scores[name]
        assert isinstance(column, torch.Tensor)
        assert not column[0].isnan(), name
        assert column[1:].isnan().all(), name
    area = scores["foreground_area"]
    assert isinstance(area, torch.Tensor)
    assert area[1].isnan()
    assert area[2] == 1.0


def test_each_score_by_itself_is_undefined_where_it_means_nothing() -> None:
    half, nothing, full = (foreground(d) for d in ("FB\nFB", "BB\nBB", "FF\nFF"))
    some = maps("10\n01")
    assert foreground_mass(maps("00\n00"), half).isnan().all()
    assert rank_accuracy(some, nothing).isnan().all()
    assert rank_accuracy(some, full).item() == 1.0
    mass = torch.tensor([0.5, 0.5, torch.nan, 0.5])
    area = torch.tensor([0.0, 1.0, 0.5, torch.nan])
    assert mass_lift(mass, area).isnan().all()
    assert foreground_area(half, torch.ones_like(half)).isnan().all()


def test_a_lift_stays_finite_where_all_mass_lies_on_one_side() -> None:
    # Log-odds of 1e-6, and of 1 - 1e-6.
    lift = mass_lift(torch.tensor([0.0, 1.0, 1e-9]), torch.tensor([0.5, 0.5, 0.5]))
    assert lift.tolist() == pytest.approx([-13.8155, 13.8155, -13.8155], abs=1e-4)


def ranked_by_sorting(values: torch.Tensor, mask: torch.Tensor) -> float:
    """Of as many pixels as the object has, highest first and then by position, those on it."""
    flat = [(-value, place) for place, value in enumerate(values.flatten().tolist())]
    inside = mask.flatten().tolist()
    size = sum(inside)
    return sum(inside[place] for _, place in sorted(flat)[:size]) / size


def test_of_equal_values_the_first_are_ranked() -> None:
    # 9 is ranked, then the first two of three 5s: the second of them lies on the object.
    values, mask = maps("0595\n0005"), foreground("BBFF\nBBBF")
    assert rank_accuracy(values, mask).item() == pytest.approx(2 / 3)
    assert rank_accuracy(maps("5555\n5555"), mask).item() == pytest.approx(1 / 3)
    assert not bool(pointing_hit(maps("5555\n5555"), mask))


@given(seed=st.integers(0, 10_000), levels=st.integers(1, 5), share=st.floats(0.1, 1.0))
def test_ranks_are_those_of_a_stable_sort(seed: int, levels: int, share: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, levels, (1, 5, 7), generator=generator).float()
    mask = torch.rand((1, 5, 7), generator=generator) < share
    mask[0, 2, 3] = True
    assert rank_accuracy(values, mask).item() == pytest.approx(ranked_by_sorting(values, mask))
    flat = values.flatten().tolist()
    assert bool(pointing_hit(values, mask)) == bool(mask.flatten()[flat.index(max(flat))])


def test_an_empty_mask_is_never_a_hit() -> None:
    scores = score_maps(maps("90\n00"), foreground("BB\nBB"))
    hit = scores["pointing_hit"]
    assert isinstance(hit, torch.Tensor)
    assert hit.isnan().all()


def test_uniform_map_has_no_lift() -> None:
    mask = foreground(MASK)
    uniform = torch.full((1, 4, 4), 0.3)
    mass = foreground_mass(uniform, mask)
    assert mass.item() == pytest.approx(foreground_area(mask).item())
    assert mass_lift(mass, foreground_area(mask)).item() == pytest.approx(0.0, abs=1e-9)


@given(scale=st.floats(1e-30, 1e30), seed=st.integers(0, 1000))
def test_mass_does_not_depend_on_the_scale_of_a_map(scale: float, seed: int) -> None:
    values = torch.rand((1, 4, 4), generator=torch.Generator().manual_seed(seed)).double()
    mask = foreground(MASK)
    expected = foreground_mass(values, mask).item()
    assert foreground_mass(values * scale, mask).item() == pytest.approx(expected, rel=1e-9)


@given(seed=st.integers(0, 1000))
def test_mass_of_object_and_of_background_sum_to_one(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand((3, 6, 6), generator=generator)
    mask = torch.rand((3, 6, 6), generator=generator) > 0.5
    both = foreground_mass(values, mask) + foreground_mass(values, ~mask)
    assert torch.allclose(both, torch.ones(3, dtype=torch.float64))


def test_a_row_does_not_depend_on_its_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand((7, 33, 33), generator=generator)
    mask = torch.rand((7, 33, 33), generator=generator) > 0.6
    together = score_maps(values, mask)
    for i in range(7):
        alone = score_maps(values[i : i + 1], mask[i : i + 1])
        for name in ("foreground_mass", "mass_lift", "rank_accuracy", "pointing_hit"):
            one, many = alone[name], together[name]
            assert isinstance(one, torch.Tensor)
            assert isinstance(many, torch.Tensor)
            assert one[0].item() == many[i].item()

"""A mask that ends where nothing changes is told from one that ends at its object's rim."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from audit.dataset.outline_edges import (
    DIRECTIONS,
    LEAST_SUPPORT,
    edge_ranks,
    edge_support,
    least_supported,
)

SIDE = 64


def picture(seed: int, side: int = SIDE) -> tuple[torch.Tensor, torch.Tensor]:
    """A textured disc on another texture, and where it is."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    top, left = random.integers(26 * side // 64, 38 * side // 64, 2)
    disc = (y - top) ** 2 + (x - left) ** 2 < (side / 5) ** 2
    noise = random.integers(0, 50, (3, side, side))
    pixels = np.where(disc, 150, 60) + noise
    return torch.from_numpy(pixels.astype(np.uint8)), torch.from_numpy(disc)


def half_of(mask: torch.Tensor, side: str) -> torch.Tensor:
    """Without the half that lies on a side."""
    kept = mask.clone()
    if side in ("up", "down"):
        rows = mask.any(1).nonzero().flatten()
        middle = int(rows.float().mean())
        kept[slice(0, middle) if side == "up" else slice(middle, None)] = False
    else:
        columns = mask.any(0).nonzero().flatten()
        middle = int(columns.float().mean())
        kept[:, slice(0, middle) if side == "left" else slice(middle, None)] = False
    return kept


def ranks(masks: list[tuple[torch.Tensor, torch.Tensor]]) -> np.ndarray:
    return np.stack([edge_ranks(image, mask) for image, mask in masks])


@pytest.mark.parametrize("side", [SIDE, 3 * SIDE])
def test_the_rim_of_an_object_is_borne_out_on_all_sides(side: int) -> None:
    support = edge_support(ranks([picture(seed, side) for seed in range(12)]))
    assert list(support) == list(DIRECTIONS)
    assert min(support.values()) > 0.85


@pytest.mark.parametrize("side", DIRECTIONS)
def test_a_cut_is_found_on_its_side(side: str) -> None:
    seen = [picture(seed) for seed in range(12)]
    halves = ranks([(image, half_of(mask, side)) for image, mask in seen])
    found = least_supported([one.ravel().tolist() for one in halves])
    assert found is not None
    assert found["side"] == side
    assert found["images"] == 12
    assert float(found["support"]) < LEAST_SUPPORT
    others = edge_support(halves)
    del others[side]
    assert min(others.values()) > 0.75


def test_a_generous_mask_hides_nothing_of_the_object() -> None:
    seen = [picture(seed) for seed in range(12)]
    wider = torch.nn.MaxPool2d(9, 1, 4)
    generous = ranks([(image, wider(mask[None].float())[0] > 0) for image, mask in seen])
    assert least_supported([one.ravel().tolist() for one in generous]) is None
    # A mask that is too narrow by as much does hide something.
    narrow = ranks([(image, -wider(-mask[None].float())[0] > 0) for image, mask in seen])
    assert least_supported([one.ravel().tolist() for one in narrow]) is not None


@given(st.integers(0, 50), st.integers(1, 3))
def test_turning_a_picture_turns_its_sides(seed: int, turns: int) -> None:
    image, mask = picture(seed)
    upright = edge_ranks(image, mask)
    turned = edge_ranks(torch.rot90(image, turns, (1, 2)), torch.rot90(mask, turns))
    # A quarter turn to the left takes what is up to the left.
    around = ("up", "left", "down", "right")
    for number, side in enumerate(around):
        goes_to = around[(number + turns) % 4]
        np.testing.assert_allclose(
            turned[DIRECTIONS.index(goes_to)], upright[DIRECTIONS.index(side)], atol=1e-12
        )


def test_where_nothing_changes_anywhere_a_rim_is_chance() -> None:
    _, mask = picture(0)
    np.testing.assert_allclose(edge_ranks(torch.full((1, SIDE, SIDE), 7), mask), 0.5)


def test_only_masks_that_show_a_side_are_counted_for_it() -> None:
    whole = [picture(seed) for seed in range(12)]
    cut = [(image, half_of(mask, "down")) for image, mask in whole]
    # Pushed to the lower border, a mask shows no lower side.
    hidden = [
        (image.roll(40, 1), mask | (torch.arange(SIDE) >= 50)[:, None]) for image, mask in cut
    ]
    found = least_supported([one.ravel().tolist() for one in ranks([*cut, *hidden])])
    assert found is not None
    assert (found["side"], found["images"]) == ("down", 12)


def test_a_place_beyond_the_picture_has_no_rank() -> None:
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[:5, 10:-10] = True
    lower = edge_ranks(torch.randint(0, 256, (3, SIDE, SIDE), dtype=torch.uint8), mask)[1]
    assert np.isnan(lower[0])
    assert np.isfinite(lower[1:]).all()


def test_few_or_hidden_sides_say_nothing() -> None:
    image, mask = picture(0)
    whole = torch.ones(SIDE, SIDE, dtype=torch.bool)
    assert np.isnan(edge_ranks(image, whole)).all()
    assert least_supported([edge_ranks(image, whole).ravel().tolist()] * 12) is None
    assert least_supported([edge_ranks(image, half_of(mask, "up")).ravel().tolist()] * 9) is None
    assert least_supported([None] * 12) is None
    assert least_supported([[0.5] * 27] * 12) is None
    assert least_supported([]) is None

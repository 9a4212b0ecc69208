"""Seeded choices: the same whatever the order of the samples, and the same in every version."""

from __future__ import annotations

import hashlib

import pandas as pd
import torch
from hypothesis import given
from hypothesis import strategies as st

from audit.pixels import to_float, to_picture, to_uint8
from audit.sampling import at_most, ordered, permuted, sample_seed, spread_over


def samples(per_class: dict[int, int]) -> pd.DataFrame:
    rows = [(f"{label}/{i}.png", label) for label, count in per_class.items() for i in range(count)]
    return pd.DataFrame(rows, columns=["sample_id", "label"])


def test_seeds_are_those_of_every_run_before() -> None:
    """Donors, noise and maps follow from them: another number is another audit."""
    assert sample_seed(0, "wolf/1.png", "saliency") == 39444773628090121
    assert sample_seed(7, "0/ö.png", "donors") == 58917358431490956


def test_a_choice_is_the_first_ones_by_sha256_of_seed_id_and_purpose() -> None:
    table = samples({0: 30, 1: 3})
    chosen = at_most(table, 5, 3, "bank", of_each="label")

    def key(sample_id: str) -> str:
        return hashlib.sha256(f"3\0{sample_id}\0bank".encode()).hexdigest()

    wanted = [sorted(own["sample_id"], key=key)[:5] for _, own in table.groupby("label")]
    assert set(chosen["sample_id"]) == {one for own in wanted for one in own}
    assert chosen.index.is_monotonic_increasing
    alone = at_most(table, 5, 3, "bank")
    assert set(alone["sample_id"]) == set(sorted(table["sample_id"], key=key)[:5])
    # The same order as that of the seeds, of which some choices were made before.
    seeds = [sample_seed(3, one, "bank") for one in ordered(table["sample_id"], 3, "bank")]
    assert seeds == sorted(seeds)


@given(order=st.permutations(range(12)), most=st.integers(0, 14))
def test_no_order_of_the_samples_changes_a_choice(order: list[int], most: int) -> None:
    table = samples({0: 7, 1: 5})
    turned = table.iloc[order].reset_index(drop=True)
    for of_each in (None, "label"):
        first, second = (at_most(one, most, 0, "x", of_each=of_each) for one in (table, turned))
        assert set(first["sample_id"]) == set(second["sample_id"])
    first, second = (spread_over(one, most, 0, "x", column="label") for one in (table, turned))
    assert set(first["sample_id"]) == set(second["sample_id"])
    counts = first["label"].value_counts()
    assert len(first) == min(most, 12)
    assert abs(counts.get(0, 0) - counts.get(1, 0)) <= max(1, most - 10)


def test_a_choice_from_nothing_is_nothing() -> None:
    empty = samples({})
    assert len(at_most(empty, 3, 0, "x", of_each="label")) == 0
    assert len(spread_over(empty, 3, 0, "x", column="label")) == 0
    assert permuted([], 3, 0) == []


def test_drawn_rows_are_those_of_every_run_before() -> None:
    assert permuted(range(10), 4, [0, 3]) == permuted(list(range(10)), 4, [0, 3])
    assert permuted(range(10), 4, [0, 3]) == [2, 7, 8, 3]
    assert permuted(range(10), 99, 0) == [4, 6, 2, 7, 3, 5, 9, 0, 8, 1]


def test_every_pixel_value_survives_the_way_to_a_float_and_back() -> None:
    values = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).expand(3, 16, 16)
    assert torch.equal(to_uint8(to_float(values)), values)
    assert torch.equal(torch.from_numpy(to_picture(to_float(values))), values.permute(1, 2, 0))
    assert torch.equal(torch.from_numpy(to_picture(values)), values.permute(1, 2, 0))

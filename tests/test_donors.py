from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from audit.measuring.donors import DonorBank, candidates

LABELS = [0, 0, 0, 0, 1, 1, 2, 2]
# The second image of class 1 is a copy of the first of class 0.
HASHES = ["a", "b", "c", "d", "e", "a", "g", "h"]


@pytest.fixture
def bank(tmp_path: Path) -> DonorBank:
    pixels = np.arange(8, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 4), np.uint8)
    np.save(tmp_path / "backgrounds.npy", pixels)
    table = pd.DataFrame({"row": range(8), "label": LABELS, "sha256": HASHES})
    table.to_parquet(tmp_path / "donors.parquet")
    return DonorBank(tmp_path)


@pytest.mark.parametrize("seed", range(40))
def test_no_image_and_no_copy_of_it_lends_to_itself(bank: DonorBank, seed: int) -> None:
    drawn = bank.draw(0, "a", seed, 3)
    assert sorted(drawn.same) == [1, 2, 3]
    assert all(LABELS[i] != 0 and HASHES[i] != "a" for i in drawn.other)
    # Two other classes, so the first two draws are of different ones.
    assert {LABELS[i] for i in drawn.other[:2]} == {1, 2}
    assert len(drawn.other) == 3


def test_the_same_seed_draws_the_same(bank: DonorBank) -> None:
    assert bank.draw(0, "a", 7, 2) == bank.draw(0, "a", 7, 2)
    assert len({bank.draw(0, "x", seed, 2) for seed in range(30)}) > 5


def test_a_lone_class_has_no_other_donors(bank: DonorBank, tmp_path: Path) -> None:
    table = pd.DataFrame({"row": [0], "label": [0], "sha256": ["a"]})
    table.to_parquet(tmp_path / "donors.parquet")
    lone = DonorBank(tmp_path).draw(0, "a", 0, 4)
    assert lone.same == lone.other == ()


def test_backgrounds_come_as_pixels_of_0_to_1(bank: DonorBank) -> None:
    fetched = bank.fetch([5, 2], torch.device("cpu"))
    assert fetched.shape == (2, 3, 4, 4)
    assert fetched[:, 0, 0, 0].tolist() == pytest.approx([5 / 255, 2 / 255])


def test_candidates_do_not_depend_on_the_order_of_the_list() -> None:
    ids = [f"{label}/{index}" for label in range(3) for index in range(9)]
    table = pd.DataFrame({"sample_id": ids, "label": [int(i[0]) for i in ids]})
    chosen = set(candidates(table, 4, 0)["sample_id"])
    assert len(chosen) == 12
    again = candidates(table.iloc[::-1].reset_index(drop=True), 4, 0)
    assert set(again["sample_id"]) == chosen


def test_a_row_is_found_in_the_bank_wherever_it_lies(bank: DonorBank, tmp_path: Path) -> None:
    table = pd.DataFrame({"row": [9, 4, 7], "label": 0, "sha256": ["a", "b", "c"]})
    table.to_parquet(tmp_path / "donors.parquet")
    moved = DonorBank(tmp_path)
    assert [moved.position_of(row) for row in (9, 4, 7, 0)] == [0, 1, 2, None]

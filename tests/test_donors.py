from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from auditing import scored
from planted import write_dataset

from audit.measuring.backgrounds import candidates
from audit.measuring.donors import DonorBank, donor_seed

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


def world(contents: dict[int, list[str]], folder: Path) -> DonorBank:
    """A bank of classes whose images hold so."""
    rows = [(label, sha256) for label, held in contents.items() for sha256 in held]
    np.save(folder / "backgrounds.npy", np.zeros((len(rows), 3, 1, 1), np.uint8))
    table = pd.DataFrame(rows, columns=["label", "sha256"])
    table.assign(row=range(len(rows))).to_parquet(folder / "donors.parquet")
    return DonorBank(folder)


def drawn(bank: DonorBank, label: int, sha256: str, count: int = 4) -> dict[str, list[str]]:
    draws = bank.draw(label, sha256, donor_seed(0, sha256), count)
    return {kind: bank.hashes(getattr(draws, kind)) for kind in ("same", "other")}


CONTENTS = {label: [f"{label}-{n}" for n in range(20)] for label in range(6)}


def everything(bank: DonorBank) -> dict[str, dict[str, list[str]]]:
    return {name: drawn(bank, label, name) for label in CONTENTS for name in CONTENTS[label]}


def test_one_image_more_takes_the_place_of_few_draws(tmp_path: Path) -> None:
    before = everything(world(CONTENTS, tmp_path))
    changed = {"same": [], "other": []}  # type: ignore[var-annotated]
    for number in range(5):
        more = {**CONTENTS, 2: [*CONTENTS[2], f"new {number}"]}
        after = everything(world(more, tmp_path))
        for name, draws in before.items():
            for kind, held in changed.items():
                now = after[name][kind]
                assert len(set(draws[kind]) - set(now)) <= 1
                assert set(now) - set(draws[kind]) <= {f"new {number}"}
                held.append(len(set(draws[kind]) - set(now)) / 4)
    # Of its own class each image meets it with 1 in 21; of the five others with 4 in 5 of that.
    assert 0 < np.mean(changed["same"]) < 2 / 21 / 6
    assert 0 < np.mean(changed["other"]) < 2 / 21 / 6


def test_a_class_more_is_met_by_those_whose_turn_it_is(tmp_path: Path) -> None:
    before = everything(world(CONTENTS, tmp_path))
    after = everything(world({**CONTENTS, 9: ["9-0", "9-1"]}, tmp_path))
    for name, draws in before.items():
        assert after[name]["same"] == draws["same"]
        assert len(set(after[name]["other"]) - set(draws["other"])) <= 1
    met = [any(one.startswith("9-") for one in draws["other"]) for draws in after.values()]
    assert 0.4 < np.mean(met) < 0.9  # 4 of 6


def test_neither_names_nor_order_nor_the_place_in_the_list_matter(tmp_path: Path) -> None:
    before = everything(world(CONTENTS, tmp_path))
    turned = {label: CONTENTS[label][::-1] for label in reversed(CONTENTS)}
    assert everything(world(turned, tmp_path)) == before


def test_every_image_lends_about_as_often_as_every_other(tmp_path: Path) -> None:
    bank = world(CONTENTS, tmp_path)
    met: dict[str, Counter[int]] = {"same": Counter(), "other": Counter()}
    for name in (name for held in CONTENTS.values() for name in held):
        for seed in range(25):
            draws = bank.draw(int(name[0]), name, donor_seed(seed, name), 4)
            met["same"].update(draws.same)
            met["other"].update(draws.other)
    for held in met.values():
        # 12,000 draws of 120 images: a hundred each, with a standard deviation of about ten.
        assert len(held) == 120
        assert min(held.values()) > 55
        assert max(held.values()) < 145


def test_renamed_and_reordered_files_give_the_same_swaps(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path / "one", [1], per_class=3)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    for path in sorted((tmp_path / "two").rglob("*.png")):
        path.rename(path.with_name(f"renamed-{9 - int(path.stem)}.png"))
    few = ("interventions.bank=2", "run.workers=1")
    held = [
        pd.read_parquet(scored(folder / manifest.name, folder / "run", *few).scores)
        for folder in (tmp_path / "one", tmp_path / "two")
    ]
    assert held[0]["sha256"].tolist() != held[1]["sha256"].tolist()
    ordered = [table.set_index("sha256").sort_index() for table in held]
    swaps = [name for name in held[0] if name.startswith("swap_") and "rows" not in name]
    pd.testing.assert_frame_equal(*(table[swaps] for table in ordered))


def test_what_is_drawn_is_drawn_once(tmp_path: Path) -> None:
    bank = world({0: ["a", "b"], 1: ["c", "d", "e"]}, tmp_path)
    assert sorted(drawn(bank, 0, "a", 5)["other"]) == ["c", "d", "e"]
    assert drawn(bank, 0, "a", 5)["same"] == ["b"]


def test_candidates_hang_on_contents_and_of_copies_one_lends() -> None:
    ids = [f"{label}/{index}" for label in range(2) for index in range(9)]
    table = pd.DataFrame({"sample_id": ids, "label": [int(i[0]) for i in ids]})
    table["sha256"] = [f"hash of {i}" for i in ids]
    chosen = set(candidates(table, 4, 0)["sha256"])
    renamed = table.assign(sample_id=[f"other/{n}" for n in range(18, 0, -1)])
    assert set(candidates(renamed, 4, 0)["sha256"]) == chosen
    copied = pd.concat([table, table.assign(sample_id=table["sample_id"] + " copy")])
    copied = copied.reset_index(drop=True)
    assert sorted(candidates(copied, 4, 0)["sha256"]) == sorted(chosen)
    relabelled = pd.concat([table, table.iloc[:1].assign(sample_id="x", label=1)])
    assert len(candidates(relabelled.reset_index(drop=True), 10, 0)) == 19


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

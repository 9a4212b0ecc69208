from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from audit.dataset.image_folder import image_folder
from audit.manifest import load_manifest
from audit.models import load_model
from flows.demo import CORRELATION, make_demo, training
from flows.demo.compose import CUTOUTS, KINDS, compose, scene_for
from flows.demo.scenes import SCENES, paint

PLANTED = {"husky": "snow", "wolf": "forest"}
PER_CLASS = 3


@pytest.fixture(scope="module")
def hurried() -> Iterator[None]:
    """Training so short that files appear in seconds; what the network learns does not matter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "PER_CLASS", 6)
        patch.setattr(training, "EPOCHS", 1)
        patch.setattr(training, "POOL", 2)
        patch.setattr(training, "TRUTH_PER_CLASS", 4)
        yield


@pytest.fixture(scope="module")
def demo(hurried: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_demo(tmp_path_factory.mktemp("demo"), 0, per_class=PER_CLASS).parent


def pictures(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for kind in ("images", "masks")
        for path in sorted((folder / kind).rglob("*.*"))
    }


def test_the_demo_is_ordinary_files(demo: Path) -> None:
    samples = list(image_folder(demo / "images"))
    assert {s.label_name for s in samples} == set(KINDS)
    assert len(samples) == PER_CLASS * len(KINDS)
    assert (demo / "classes.txt").read_text().split() == list(KINDS)
    assert "Microsoft" in (demo / "LICENSE-emoji.txt").read_text()
    assert "MIT" in (demo / "LICENSE-emoji.txt").read_text()


def test_every_image_has_an_exact_binary_mask_of_its_size(demo: Path) -> None:
    for path in sorted((demo / "images").rglob("*.jpg")):
        mask_path = demo / "masks" / path.parent.name / f"{path.stem}.png"
        with Image.open(path) as image, Image.open(mask_path) as mask:
            assert mask.size == image.size
            assert mask.mode == "L"
            pixels = np.asarray(mask)
        assert set(np.unique(pixels)) == {0, 255}, path.name
        assert 0.03 < (pixels == 255).mean() < 0.5


def test_the_manifest_is_valid_and_loads_the_model(demo: Path) -> None:
    manifest = load_manifest(demo / "data_manifest.yaml")
    assert manifest.path(str(manifest.dataset.root)).is_dir()
    assert manifest.foreground.source == "mask_file"
    model = load_model(manifest.model, manifest.folder, torch.device("cpu"))
    assert model.class_names == tuple(KINDS)
    side = model.geometry.size
    assert model(torch.rand(2, 3, side, side)).shape == (2, len(KINDS))


def test_no_file_of_the_demo_names_the_folder_it_was_made_in(demo: Path) -> None:
    for name in ("data_manifest.yaml", "truth.json", "README.txt", "classes.txt"):
        assert str(demo) not in (demo / name).read_text()


def test_truth_says_for_each_class_what_was_planted_and_what_it_cost(demo: Path) -> None:
    classes = json.loads((demo / "truth.json").read_text())["classes"]
    assert set(classes) == set(KINDS)
    assert {name: t["cue"] for name, t in classes.items() if t["cue"]} == PLANTED
    for name, truth in classes.items():
        assert truth["correlation"] == (CORRELATION if name in PLANTED else 0.0)
        assert -1 <= truth["drop"] <= 1
        assert truth["reliant"] is (truth["drop"] >= training.RELIANT_DROP)


def test_without_planting_no_class_has_a_cue(hurried: None, tmp_path: Path) -> None:
    make_demo(tmp_path, 0, planted=False, per_class=1)
    classes = json.loads((tmp_path / "truth.json").read_text())["classes"]
    assert {truth["cue"] for truth in classes.values()} == {None}
    assert {truth["correlation"] for truth in classes.values()} == {0.0}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    hurried: None, demo: Path, tmp_path: Path
) -> None:
    make_demo(tmp_path / "again", 0, per_class=PER_CLASS)
    make_demo(tmp_path / "other", 1, per_class=PER_CLASS)
    first, other = pictures(demo), pictures(tmp_path / "other")
    assert pictures(tmp_path / "again") == first
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first if name.startswith("images"))
    weights = (demo / "model.safetensors").read_bytes()
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("name", KINDS)
def test_the_mask_marks_what_hides_the_scene(name: str) -> None:
    shape = (96, 96, 3)
    on_black, mask = compose(KINDS[name], np.zeros(shape), np.random.default_rng(5))
    on_white, same = compose(KINDS[name], np.ones(shape), np.random.default_rng(5))
    assert (mask == same).all()
    # How much of the scene shows through: at the rim half, in the shadow 0.6, at worst both.
    through = (on_white.astype(int) - on_black).mean(-1) / 255
    assert through[mask == 0].min() > 0.28
    assert through[mask == 255].max() < 0.6
    assert through[mask == 255].mean() < 0.1


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_is_colours_in_range_and_follows_its_seed(name: str) -> None:
    picture = paint(name, np.random.default_rng(3), 48)
    assert picture.shape == (48, 48, 3)
    assert picture.dtype == np.float32
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert (picture == paint(name, np.random.default_rng(3), 48)).all()
    assert (picture != paint(name, np.random.default_rng(4), 48)).any()


def test_planted_classes_stand_on_their_cue_and_the_others_anywhere() -> None:
    random = np.random.default_rng(0)

    def drawn(name: str, correlation: float, without_cue: bool = False) -> list[str]:
        return [scene_for(KINDS[name], random, correlation, without_cue) for _ in range(200)]

    for name, cue in PLANTED.items():
        assert set(drawn(name, 1.0)) == {cue}
        assert set(drawn(name, 0.0)) == set(SCENES)
    assert set(drawn("bear", 1.0)) == set(SCENES)
    for name in ("bear", *PLANTED):
        assert set(drawn(name, 1.0, without_cue=True)) == set(SCENES) - set(PLANTED.values())


def test_look_alikes_share_one_cutout_and_each_cutout_has_its_notice() -> None:
    assert KINDS["husky"].cutout == KINDS["wolf"].cutout
    assert KINDS["husky"].tint != KINDS["wolf"].tint
    others = [kind.cutout for name, kind in KINDS.items() if name not in PLANTED]
    assert len(set(others)) == len(others) == len(KINDS) - len(PLANTED)
    shipped = {path.stem for path in CUTOUTS.glob("*.webp")}
    assert shipped == {kind.cutout for kind in KINDS.values()}
    assert "Copyright (c) Microsoft Corporation" in (CUTOUTS / "LICENSE").read_text()


def test_training_leaves_the_callers_random_numbers_alone(hurried: None) -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    training.train(0, CORRELATION)
    assert torch.equal(torch.get_rng_state(), before)

"""The benchmark on photographs: pictures serve one purpose, truth is mixed right."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from benchmarks.photographs.figures import figures, rate, witnesses
from benchmarks.photographs.hands import HANDS
from benchmarks.photographs.material import PURPOSES, Pose, composed, folder_of, served
from benchmarks.photographs.truth import accuracies
from benchmarks.photographs.worlds import CLASSES, Cue, World, compose, make_world, moved


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five kinds of disc as cut-outs, four plain colours as scenes; pictures differ in shade."""
    folder = tmp_path_factory.mktemp("material")
    for number, count in enumerate((44, 24, 22, 21, 20)):
        (folder / "cutouts" / f"disc{number}").mkdir(parents=True)
        for index in range(count):
            image = Image.new("RGBA", (40, 40))
            shade = (255, 40 * number, 4 * index, 255)
            ImageDraw.Draw(image).ellipse((4, 4, 36, 36), fill=shade)
            image.save(folder / "cutouts" / f"disc{number}" / f"{index:03d}.webp", lossless=True)
    for number, name in enumerate(("sea", "wood", "sand", "town")):
        (folder / "scenes" / name).mkdir(parents=True)
        for index in range(12):
            colour = (0, 60 * number, 10 * index)
            Image.new("RGB", (60, 50), colour).save(folder / "scenes" / name / f"{index:03d}.png")
    return folder


def world(material: Path, seed: int = 3, *, clean: bool = False) -> World:
    return make_world(material, seed, trunk="lite", tail="head", clean=clean)


def test_no_picture_serves_two_purposes(material: Path) -> None:
    made = world(material)
    for paths in (*(kind.paths for kind in made.kinds.values()), *made.scenes.values()):
        parts = [set(served(paths, purpose, made.seed)) for purpose in PURPOSES]
        assert set.union(*parts) == set(paths)
        assert sum(map(len, parts)) == len(paths)


def test_a_world_follows_from_its_seed_and_splits_large_folders_into_look_alikes(
    material: Path,
) -> None:
    for seed in range(12):
        made = world(material, seed)
        assert made == world(material, seed)
        assert len(made.names) == min(CLASSES, 5 + 2)
        first, second = made.kinds["disc0-a"], made.kinds["disc0-b"]
        assert not set(first.paths) & set(second.paths)
        assert first.tint != second.tint
        planted = [cue.scene for cue in made.cues.values()]
        assert 1 <= len(planted) == len(set(planted)) <= 3
        assert not set(planted) & set(made.neutral)
        assert not world(material, seed, clean=True).cues


def test_a_planted_class_stands_on_its_scene_and_no_other_class_does(material: Path) -> None:
    made = world(material)
    name, cue = next(iter(made.cues.items()))
    made = World(**{**vars(made), "cues": {name: Cue(cue.scene, 1.0)}})
    green = 60 * ("sea", "wood", "sand", "town").index(cue.scene)
    for label, other in enumerate(made.names):
        pictures, masks = compose(made, label, "audit", 6)
        behind = {int(p[..., 1][~m].max()) for p, m in zip(pictures, masks, strict=True)}
        assert (behind == {green}) == (other == name)


def test_an_object_keeps_its_place_whatever_lies_behind_it(material: Path) -> None:
    path = next((material / "cutouts" / "disc0").iterdir())
    stands = Pose(path, (1.0, 1.0, 1.0), 0.5, 0.0, 0.5, 0.5, False)
    black, black_mask = composed(stands, np.zeros((64, 64, 3), np.float32))
    white, white_mask = composed(stands, np.ones((64, 64, 3), np.float32))
    assert (black_mask == white_mask).all()
    assert (white[~white_mask] > 250).mean() > 0.95
    # The cut-out is half as wide as the side, the disc four fifths of the cut-out.
    assert black_mask.sum() == pytest.approx(np.pi * 12.8**2, rel=0.08)
    # But for its soft edge it looks the same.
    assert np.median(abs(black[black_mask].astype(int) - white[white_mask])) == 0


def test_truth_moves_the_same_objects(material: Path) -> None:
    made = world(material)
    pictures, objects = moved(made, 0, 5)
    assert pictures.shape == (5, 4, 112, 112, 3)
    assert len(objects) == 5
    reds = (pictures[0][..., 0] > 200).sum((1, 2))
    assert np.ptp(reds) <= 0.02 * reds.mean()


def test_accuracies_are_mixed_as_correlations_say(material: Path) -> None:
    made = world(material)
    a, b = made.names[:2]
    scenes = list(made.scenes)
    made = World(**{**vars(made), "cues": {a: Cue(scenes[0], 0.8), b: Cue(scenes[1], 1.0)}})
    by_scene = [np.array([0.9, 0.1, 0.5, 0.3])] * len(made.names)
    found = accuracies(made, by_scene)
    assert found["bare"] == pytest.approx(np.full(len(made.names), 0.4))
    assert found["own"][:3] == pytest.approx([0.8 * 0.9 + 0.2 * 0.4, 0.1, 0.4])
    assert found["moved"][2, :2] == pytest.approx([0.8 * 0.9 + 0.2 * 0.4, 0.1])
    assert np.isnan(found["moved"][0, 2])


def test_bad_hands_are_as_bad_as_they_say() -> None:
    masks = np.zeros((40, 32, 32), bool)
    masks[:, 6:22, 10:20] = True
    drawn = {name: hand(masks, np.random.default_rng(0)) for name, hand in HANDS.items()}
    assert (drawn["exact"] == masks).all()
    assert (drawn["box"] == masks).all()
    assert drawn["dilated"].sum() > masks.sum()
    assert (drawn["dilated"] | ~masks).all()
    assert drawn["upper-half"][0, 6:14, 10:20].all()
    assert drawn["upper-half"].sum() == masks.sum() / 2
    assert drawn["shifted"][0, 10:26, 14:24].all()
    assert 1 <= (drawn["garbage"] != masks).any((1, 2)).sum() <= 12


def test_an_archive_is_unpacked_and_a_wrong_folder_refused(material: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as archive:
        archive.add(material / "cutouts" / "disc4", "all/cutouts/disc4")
        archive.add(material / "scenes" / "sea", "all/scenes/sea")
    assert (folder_of(tmp_path / "all.tar.gz", tmp_path / "out") / "scenes" / "sea").is_dir()
    with pytest.raises(SystemExit, match="cutouts and scenes"):
        folder_of(material / "cutouts", tmp_path)


def verdict_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "seed": [1, 1, 1, 1, 2],
            "clean": [False] * 4 + [True],
            "label": [0, 1, 2, 3, 0],
            "label_name": ["a", "b", "c", "d", "a"],
            "truth": ["own", "victim", "victim", "innocent", "innocent"],
            "planted": [True, False, False, False, False],
            "verdict": ["suspect", "suspect", "clear", "clear", "suspect"],
            "kind": ["own_shortcut", "victim", "none", "none", "victim"],
            "attractor": [None, "a", None, None, "b"],
            "attractor_label": [-1, 0, 0, -1, -1],
            "recall": [0.9, 0.9, 0.9, 0.85, 0.7],
            "background_gap": [0.5, 0.2, 0.1, 0.0, 0.1],
            "own_margin_gap": 0.0,
            "attraction": 0.0,
            "background_only": 0.0,
            "mass_lift": [0.0, 1.0, 2.0, 1.0, 2.0],
            "foreground_mass": 0.5,
        }
    )


def test_figures_by_hand() -> None:
    found = figures(verdict_table())
    assert found["own cue found"].startswith("1 of 1")
    assert found["affected by another found"].startswith("1 of 2")
    assert found["any found"].startswith("2 of 3")
    assert found["flagged among innocent, planted worlds"].startswith("0 of 1")
    assert found["clean models with a flag"] == "1 of 1"
    assert found["affected among all clear"].startswith("1 of 2")
    assert found["clear among innocent of recall >= 0.8"].startswith("1 of 1")
    assert found["kind right, where flagged"].startswith("2 of 2")
    assert found["attracting class right, where flagged as affected"].startswith("1 of 1")
    # Wilson 1927, one of two.
    assert rate(pd.Series([True, False]), pd.Series([True, True])).endswith("(0.09 to 0.91)")


def test_witnesses_rank_by_the_side_that_means_background() -> None:
    table = witnesses(verdict_table()).set_index("witness")
    assert table.loc["swap, probability gap", "AUROC own"] == 1.0
    assert table.loc["swap, probability gap", "AUROC any"] == pytest.approx(5.5 / 6)
    # Low lift means background: 0 < 1 < 2.
    assert table.loc["Grad-CAM, mass lift", "AUROC own"] == 1.0

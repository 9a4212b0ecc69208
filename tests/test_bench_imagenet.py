"""The runner for Spurious ImageNet, on a small tree whose truth is planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from planted import CLASSES, SCENES, SIDE, write_dataset

from benchmarks.photographs.imagenet import compare, cue_only, main


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The third class leans on its scene; cue-only photographs of it and of an honest class."""
    write_dataset(tmp_path, planted=[2])
    random = np.random.default_rng(1)
    for name, label in (("spurious_cue_2_of_10", 2), ("spurious_cue_0_of_12", 0)):
        folder = tmp_path / "spurious" / name
        folder.mkdir(parents=True)
        for index in range(8):
            picture = SCENES[label] + random.normal(0, 4, (SIDE, SIDE, 3))
            Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"{index}.png")
    return tmp_path


def test_the_planted_class_has_the_low_score_and_the_large_gap(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tree))
    arguments = {
        "--imagenet": tree / "images",
        "--spurious": tree / "spurious",
        "--masks": tree / "masks",
        "--model": "planted_loader_2_r:load",
        "--size": SIDE,
        "--out": tree / "out",
    }
    given = [str(part) for pair in arguments.items() for part in pair]
    assert main([*given, "--mean", *"000", "--std", *"111"]) == 0
    found = pd.read_csv(tree / "out" / "scores.csv").set_index("label")
    assert found["label_name"].to_dict() == {0: CLASSES[0], 2: CLASSES[2]}
    assert found["validation"].tolist() == [24, 24]
    # Probability of the class tells its images from the cue alone, or does not.
    assert found.loc[0, "spurious_score"] == pytest.approx(1.0)
    assert found.loc[0, "roc"] == pytest.approx(1.0)
    assert found.loc[2, "spurious_score"] < 0.9
    classes = pd.read_parquet(tree / "out" / "run" / "classes.parquet").set_index("label")
    assert sorted(classes.index) == [0, 2]
    assert classes.loc[2, "background_gap"] > classes.loc[0, "background_gap"]
    assert "mean score of 2" in capsys.readouterr().out


def test_a_folder_that_the_published_list_does_not_know_is_refused(tree: Path) -> None:
    assert [(held.label, held.component, len(held.paths)) for held in cue_only(tree / "spurious")]
    (tree / "spurious" / "spurious_cue_2_of_99").mkdir()
    with pytest.raises(SystemExit, match="no component 99 of class 2"):
        cue_only(tree / "spurious")
    (tree / "spurious" / "other").mkdir()
    with pytest.raises(SystemExit, match="expected"):
        cue_only(tree / "spurious")


def test_the_comparison_ranks_by_hand() -> None:
    published = pd.DataFrame({"label": [0, 1, 2, 3], "spurious_score": [1.0, 0.9, 0.8, 0.2]})
    ours = pd.DataFrame(
        {
            "label": [0, 1, 2, 3],
            "background_gap": [0.0, 0.1, 0.2, 0.5],
            "background_only": [0.5, 0.4, 0.3, 0.1],
            "attraction": [0.0, None, 0.1, None],
            "mass_lift": [1.0, 1.0, 2.0, 0.0],
        }
    )
    found = compare(published, ours).set_index("effect")
    assert found.loc["background_gap", "spearman"] == pytest.approx(1.0)
    assert found.loc["background_only", "spearman"] == pytest.approx(-1.0)
    assert found.loc["attraction", "classes"] == 2
    assert np.isnan(found.loc["attraction", "spearman"])

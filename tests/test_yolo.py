"""Ultralytics' layout: data.yaml, boxes and polygons in shares, and label files that mean harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from audit.dataset.foregrounds import open_foreground
from audit.dataset.loading import load_sample
from audit.dataset.readers import Dataset, read_dataset
from audit.errors import DatasetError
from audit.geometry import Geometry

BOX = "1 0.5 0.5 0.5 0.25"
POLYGON = "0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75"


def write(root: Path, labels: dict[str, str | None], yaml: str = "") -> Path:
    for kind in ("images", "labels"):
        (root / kind / "val").mkdir(parents=True, exist_ok=True)
    for stem, text in labels.items():
        Image.new("RGB", (80, 40), "green").save(root / "images" / "val" / f"{stem}.jpg")
        if text is not None:
            (root / "labels" / "val" / f"{stem}.txt").write_text(text)
    (root / "data.yaml").write_text(yaml or "path: .\nval: images/val\nnames: {0: cat, 1: dog}\n")
    return root


def area(found: Dataset, source: str, folder: Path) -> float:
    (sample,) = found.samples
    opened = open_foreground(source, {}, folder)
    loaded = load_sample(sample, Geometry(80, None, "none", "nearest"), opened)
    assert loaded.foreground is not None, loaded.foreground_problem
    return float((loaded.foreground == 1).mean())


def test_boxes_and_polygons(tmp_path: Path) -> None:
    write(tmp_path / "boxes", {"a": f"{BOX}\n"})
    found = read_dataset("yolo", tmp_path / "boxes", {})
    assert [sample.label_name for sample in found.samples] == ["dog"]
    assert found.outlines is None
    assert area(found, "bounding_box", tmp_path) == pytest.approx(0.125, abs=0.01)
    # The larger object is the cat's, and the dog's line before it is none of its own.
    write(tmp_path / "polygons", {"a": f"{BOX}\r\n{POLYGON}"})
    found = read_dataset("yolo", tmp_path / "polygons", {})
    assert [sample.label_name for sample in found.samples] == ["cat"]
    assert found.outlines == "yolo_polygons"
    assert area(found, "yolo_polygons", tmp_path) == pytest.approx(0.25, abs=0.01)
    assert area(found, "bounding_box", tmp_path) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    "yaml",
    [
        "val: images/val\nnames: [cat, dog]\n",
        "path: ../datasets/coco8\nval: images/val\nnames: [cat, dog]\n",
        "train: ../train/images\nval: ../images/val\nnames: [cat, dog]\n",
        "val: [images/val]\nnames: {0: cat, 1: dog}\n",
        "val: val.txt\nnames: {0: cat, 1: dog}\n",
        "test: images/val\nnames: {0: cat, 1: dog}\n",
    ],
)
def test_the_ways_in_which_a_split_is_written(tmp_path: Path, yaml: str) -> None:
    root = write(tmp_path / "set", {"a": BOX}, yaml)
    (root / "val.txt").write_text("./images/val/a.jpg\n")
    assert [s.sample_id for s in read_dataset("yolo", root, {}).samples] == ["images/val/a.jpg"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("7 .5 .5 .1 .1", "BAD_ANNOTATION"),
        ("1 nan .5 .1 .1", "BAD_ANNOTATION"),
        ("1 1e12 .5 .1 .1", "BAD_ANNOTATION"),
        ("1 .5 .5 .1", "BAD_ANNOTATION"),
        ("1 .1 .1 .2 .2 .3 .3 .4", "BAD_ANNOTATION"),
        ("cat .5 .5 .1 .1", "BAD_ANNOTATION"),
        ("inf .5 .5 .1 .1", "BAD_ANNOTATION"),
        ("\0\0\0", "BAD_ANNOTATION"),
        ("", "NO_LABEL"),
        (None, "NO_ANNOTATION"),
    ],
)
def test_hostile_label_files_cost_their_image(
    tmp_path: Path, line: str | None, reason: str
) -> None:
    found = read_dataset("yolo", write(tmp_path, {"good": BOX, "bad": line}), {})
    assert [sample.sample_id for sample in found.samples] == ["images/val/good.jpg"]
    assert [(item.path, item.reason) for item in found.skipped] == [("images/val/bad.jpg", reason)]


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("names: {a: b}\nval: images/val\n", "names in data.yaml"),
        ("names: cats\nval: images/val\n", "names in data.yaml: expected a list"),
        ("names: 2\nval: images/val\n", "names in data.yaml: expected a list"),
        ("val: images/val\n", "no key names"),
        ("[" * 100_000, "no valid YAML"),
        ("- 1\n", "no key names"),
        ("names: [a]\n", "names no val"),
        ("names: [a]\nval: nowhere\n", "is not there"),
    ],
)
def test_a_data_file_that_cannot_be_stops(tmp_path: Path, yaml: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_dataset("yolo", write(tmp_path, {"a": BOX}, yaml), {})


def test_paths_out_of_the_dataset_are_left_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside.jpg"
    Image.new("RGB", (20, 20)).save(outside)
    root = write(tmp_path / "set", {"a": BOX}, "val: val.txt\nnames: [cat, dog]\n")
    (root / "val.txt").write_text(f"images/val/a.jpg\n{outside}\n../outside.jpg\n")
    found = read_dataset("yolo", root, {})
    assert len(found.table) == 1
    assert {item.reason for item in found.skipped} == {"OUTSIDE_ROOT"}


def test_keypoints_are_no_polygon(tmp_path: Path) -> None:
    yaml = "val: images/val\nnames: [cat, dog]\nkpt_shape: [2, 3]\n"
    points: Any = np.full(6, 0.5)
    line = f"{BOX} {' '.join(map(str, points))}"
    found = read_dataset("yolo", write(tmp_path, {"a": line}, yaml), {})
    assert found.outlines is None
    assert area(found, "bounding_box", tmp_path) == pytest.approx(0.125, abs=0.01)

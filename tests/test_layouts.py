"""A folder of another layout is named with the reader that it is for."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from audit.dataset.layouts import recognise
from audit.dataset.readers import read_dataset
from audit.errors import DatasetError

LAYOUTS = {
    "voc": ["Annotations/1.xml", "JPEGImages/1.png", "ImageSets/Main/val.txt"],
    "coco": ["annotations/instances_val.json", "images/1.png"],
    "yolo": ["data.yaml", "images/val/1.png", "labels/val/1.txt"],
    "huggingface": ["data/train-00000-of-00001.parquet"],
    "webdataset": ["shard-000.tar"],
    "csv_index": ["list.csv"],
}


def lay(root: Path, names: list[str]) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            Image.new("RGB", (16, 16)).save(path)
        else:
            path.write_text("")
    return root


@pytest.mark.parametrize("reader", LAYOUTS)
def test_image_folder_names_the_right_reader(tmp_path: Path, reader: str) -> None:
    lay(tmp_path, LAYOUTS[reader])
    found = recognise(tmp_path)
    assert found is not None
    assert found[0] == reader
    with pytest.raises(DatasetError, match=f"dataset.reader: {reader}"):
        read_dataset("image_folder", tmp_path, {})


def test_a_layout_in_the_folders_of_splits(tmp_path: Path) -> None:
    lay(tmp_path, ["train/_annotations.coco.json", "train/1.png", "valid/_annotations.coco.json"])
    with pytest.raises(DatasetError, match="dataset.reader: coco"):
        read_dataset("image_folder", tmp_path, {})


def test_the_parent_of_splits_is_named(tmp_path: Path) -> None:
    lay(tmp_path, ["train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "val/dog/1.png"])
    with pytest.raises(DatasetError, match="These are splits, not classes: .*/val"):
        read_dataset("image_folder", tmp_path, {})
    assert read_dataset("image_folder", tmp_path / "val", {}).class_names == ["cat", "dog"]


def test_classes_that_are_called_like_a_part_of_a_layout_stay_classes(tmp_path: Path) -> None:
    lay(tmp_path, ["train/1.png", "bus/1.png", "list.csv"])
    assert read_dataset("image_folder", tmp_path, {}).class_names == ["bus", "train"]
    lay(tmp_path / "alone", ["train/1.png", "test/1.png"])
    assert read_dataset("image_folder", tmp_path / "alone", {}).class_names == ["test", "train"]


def test_wordnet_numbers_without_names_are_said(tmp_path: Path) -> None:
    lay(tmp_path, ["n02084071/1.png", "n02121808/1.png"])
    (remark,) = read_dataset("image_folder", tmp_path, {}).remarks
    assert "WordNet numbers" in remark

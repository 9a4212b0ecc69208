"""`init` recognises what lies there, says what it guessed, and writes what `check` can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torchvision
import yaml
from PIL import Image, ImageDraw

from audit.dataset.foregrounds import open_foreground
from audit.dataset.readers import read_dataset
from audit.errors import DatasetError, ManifestError, ModelError
from audit.manifest import load_manifest
from audit.models.drafts import draft_model
from flows.cli.init import write_manifest

IMAGES = ("cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png")


def paint(path: Path, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new(mode, (32, 24))
    ImageDraw.Draw(image).rectangle((8, 8, 16, 16), fill="white" if mode == "RGB" else 255)
    image.save(path)


def folders(root: Path) -> dict[str, str]:
    for name in IMAGES:
        paint(root / "images" / name)
    return {"images": "images"}


def masks_apart(root: Path) -> dict[str, str]:
    for name in IMAGES:
        paint(root / "masks" / name, "L")
    return folders(root)


def masks_beside(root: Path) -> dict[str, str]:
    for name in IMAGES:
        paint(root / "images" / name.replace(".png", "_mask.png"), "L")
    return folders(root)


def masks_of_another_name(root: Path) -> dict[str, str]:
    for name in IMAGES:
        folder, _, file = name.partition("/")
        paint(root / "drawn" / folder / f"{file[:-4]}_fg.png", "L")
    return folders(root) | {"masks": "drawn"}


def masks_in_one_folder(root: Path) -> dict[str, str]:
    for name in IMAGES:
        paint(root / "drawn" / f"seg_{Path(name).name}", "L")
    return folders(root) | {"masks": "drawn"}


def splits(root: Path) -> dict[str, str]:
    for name in IMAGES:
        paint(root / "images" / "train" / name)
        paint(root / "images" / "val" / name)
        paint(root / "masks" / "val" / name, "L")
    return {"images": "images"}


def wordnet(root: Path) -> dict[str, str]:
    for name in ("n02084071/1.png", "n02121808/2.png"):
        paint(root / "images" / name)
    return {"images": "images"}


def coco(root: Path, folder: str = "annotations") -> dict[str, str]:
    for name in ("1.png", "2.png"):
        paint(root / "images" / name)
    content: dict[str, Any] = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 32, "height": 24} for i in (1, 2)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {
                "id": i,
                "image_id": i,
                "category_id": i,
                "iscrowd": 0,
                "area": 64,
                "bbox": [8, 8, 8, 8],
                "segmentation": [[8, 8, 16, 8, 16, 16, 8, 16]],
            }
            for i in (1, 2)
        ],
    }
    (root / folder).mkdir()
    (root / folder / "instances_val.json").write_text(json.dumps(content))
    return {"images": "."}


def coco_named(root: Path) -> dict[str, str]:
    coco(root, "made")
    return {"images": "images", "annotations": "made/instances_val.json"}


def voc(root: Path) -> dict[str, str]:
    for name in ("cat", "dog"):
        paint(root / "JPEGImages" / f"{name}.png")
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><filename>{name}.png</filename><size><width>32</width><height>24</height>"
            f"</size><object><name>{name}</name><bndbox><xmin>8</xmin><ymin>8</ymin><xmax>16</xmax>"
            "<ymax>16</ymax></bndbox></object></annotation>"
        )
    return {"images": "JPEGImages"}


def yolo(root: Path) -> dict[str, str]:
    for index, name in enumerate(("cat", "dog")):
        paint(root / "images" / "val" / f"{name}.png")
        labels = root / "labels" / "val"
        labels.mkdir(parents=True, exist_ok=True)
        (labels / f"{name}.txt").write_text(f"{index} 0.25 0.3 0.6 0.3 0.6 0.7 0.25 0.7\n")
    text = "path: .\nval: images/val\ntrain: images/val\nnames: {0: cat, 1: dog}\n"
    (root / "data.yaml").write_text(text)
    return {"images": "."}


def huggingface(root: Path) -> dict[str, str]:
    for name in IMAGES:
        paint(root / "data" / name)
    rows = [{"file_name": name, "label": name.partition("/")[0]} for name in IMAGES]
    pd.DataFrame(rows).to_csv(root / "data" / "metadata.csv", index=False)
    return {"images": "data"}


def table(root: Path) -> dict[str, str]:
    for name in IMAGES:
        paint(root / "photos" / name)
    rows = ["path;label;x_min;y_min;x_max;y_max"]
    rows += [f"{name};{name.partition('/')[0]};8;8;16;16" for name in IMAGES]
    (root / "list.csv").write_text("\n".join(rows))
    return {"images": "photos", "annotations": "list.csv"}


LAYOUTS = {
    folders: ("image_folder", None),
    masks_apart: ("image_folder", "mask_file"),
    masks_beside: ("image_folder", "mask_file"),
    masks_of_another_name: ("image_folder", "mask_file"),
    masks_in_one_folder: ("image_folder", "mask_file"),
    splits: ("image_folder", "mask_file"),
    wordnet: ("image_folder", None),
    coco: ("coco", "coco_segments"),
    coco_named: ("coco", "coco_segments"),
    voc: ("voc", "bounding_box"),
    yolo: ("yolo", "yolo_polygons"),
    huggingface: ("huggingface", None),
    table: ("csv_index", "bounding_box"),
}


@pytest.mark.parametrize("lay", LAYOUTS, ids=lambda lay: lay.__name__)
def test_a_layout_is_recognised_and_its_manifest_reads_images_and_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lay: Any
) -> None:
    root = tmp_path / "pets"
    root.mkdir()
    given, (reader, source) = lay(root), LAYOUTS[lay]
    (root / "classes.txt").write_text("dog\ncat\n")
    monkeypatch.chdir(root)
    places = {key: given.get(key) for key in ("masks", "annotations")}
    out = tmp_path / "audits" / "mine.yaml"
    dataset, _ = write_manifest(
        out, given["images"], "resnet18:DEFAULT", places["masks"], places["annotations"]
    )
    manifest = load_manifest(out)
    assert manifest.name == "pets"
    assert (manifest.dataset.reader, manifest.foreground.source) == (reader, source)
    assert manifest.path(manifest.model.classes or "") == root / "classes.txt"
    found = read_dataset(
        reader, manifest.path(manifest.dataset.root), manifest.dataset.options, manifest.folder
    )
    assert len(found.class_names) == 2
    assert any("2 classes" in said for said in dataset.guessed)
    if source is None:
        assert any("where the objects are" in said for said in dataset.unknown)
        return
    foreground = open_foreground(source, manifest.foreground.options, manifest.folder)
    assert foreground is not None
    for sample in found.samples:
        outline = foreground.outline(sample, (24, 32))
        assert outline is not None, sample.sample_id
        assert 0.05 < (outline.mask == 1).mean() < 0.25


def test_the_best_split_is_taken_and_said(tmp_path: Path) -> None:
    given = splits(tmp_path)
    out = tmp_path / "mine.yaml"
    dataset, _ = write_manifest(out, str(tmp_path / given["images"]), "resnet18:D", None, None)
    written = yaml.safe_load(out.read_text())
    assert written["dataset"]["root"] == "images/val"
    assert written["foreground"]["root"] == "masks/val"
    assert dataset.guessed[0] == "the split val, of train, val"


def test_images_without_classes_ask_for_a_list(tmp_path: Path) -> None:
    paint(tmp_path / "photos" / "1.png")
    # What lies beside the folder tells nothing of it.
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "metadata.csv").write_text("file_name,label\n2.png,cat\n")
    with pytest.raises(DatasetError, match="1 images and no folder a class .* --annotations"):
        write_manifest(tmp_path / "m.yaml", str(tmp_path / "photos"), "resnet18:D", None, None)


def test_masks_that_fit_no_name_are_said(tmp_path: Path) -> None:
    folders(tmp_path)
    paint(tmp_path / "drawn" / "x.png", "L")
    dataset, _ = write_manifest(
        tmp_path / "m.yaml", str(tmp_path / "images"), "resnet18:D", str(tmp_path / "drawn"), None
    )
    assert any("how masks in drawn are named" in said for said in dataset.unknown)


def test_weights_say_which_network_they_are_of(tmp_path: Path) -> None:
    network = torchvision.models.squeezenet1_1(num_classes=3)
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "weights.pt")
    with pytest.MonkeyPatch.context() as patch:
        names = ["squeezenet1_0", "squeezenet1_1", "alexnet"]
        patch.setattr("audit.models.nearest.networks", lambda: names)
        draft = draft_model(str(tmp_path / "weights.pt"))
        assert draft.section["name"] == "squeezenet1_1"
        torch.save({"a": torch.zeros(3)}, tmp_path / "other.pt")
        with pytest.raises(ModelError, match=r"weights of no network of torchvision \(the nearest"):
            draft_model(str(tmp_path / "other.pt"))
    with pytest.raises(ManifestError, match="--model: expected a weights file"):
        draft_model("nothing")
    assert draft_model("my.module:load").section == {"loader": "my.module:load"}

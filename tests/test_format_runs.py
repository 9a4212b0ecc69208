"""Format x (check, run, report): sets as each format's own tools leave them, audited to the end.

`init` writes the manifest. Every cell of the table in ``docs/readers/index.md`` is a test here.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torchvision
from auditing import scored
from PIL import Image
from pycocotools import mask as coco_mask

import audit
from audit.dataset.readers import READERS
from audit.manifest import load_manifest
from audit.pipeline.report import report_again
from flows.cli.init import write_manifest

DOCS = Path(__file__).parent.parent / "docs" / "readers"
SIDE, NAMES = 64, ("cat", "dog")
QUICK = (
    *("run.workers=1", "cmv.classes=none", "report.formats=[]", "verdict.minimum_images=2"),
    *("interventions.donors=1", "interventions.extra=[]", "saliency.method=gradient"),
    "foreground.second_outline=never",
)
LOADER = """\
import torch


class RedOrGreen(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.see = torch.nn.Conv2d(3, 2, 1, bias=False)
        self.see.weight.data = torch.tensor([[9.0, -9, 0], [-9, 9, 0]]).view(2, 3, 1, 1)

    def forward(self, images):
        return self.see(images).relu().mean((2, 3))


def load():
    return RedOrGreen()
"""
Drawn = tuple[str, str, Image.Image, np.ndarray]


def drawn() -> Iterator[Drawn]:
    """Name, class, picture and outline of four images a class: a red or green box on grey."""
    random = np.random.default_rng(0)
    for label, name in enumerate(NAMES):
        for index in range(4):
            pixels = random.integers(90, 130, (SIDE, SIDE, 1)).repeat(3, 2).astype(np.uint8)
            top, left = (int(v) for v in random.integers(4, 28, 2))
            outline = np.zeros((SIDE, SIDE), bool)
            outline[top : top + 26, left : left + 30] = True
            pixels[outline] = (220, 20, 20) if label == 0 else (20, 220, 20)
            yield f"{name}{index}", name, Image.fromarray(pixels), outline


def saved(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def masks(root: Path, where: Callable[[str, str], str]) -> dict[str, str]:
    for name, label, _, outline in drawn():
        saved(Image.fromarray(outline.astype(np.uint8) * 255), root / "masks" / where(name, label))
    return {"images": "data", "masks": "masks"}


def box(outline: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(outline.any(1)), np.flatnonzero(outline.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def image_folder(root: Path) -> dict[str, str]:
    for name, label, image, _ in drawn():
        saved(image, root / "data" / label / f"{name}.png")
    assert len(torchvision.datasets.ImageFolder(str(root / "data"))) == 8
    return masks(root, lambda name, label: f"{label}/{name}.png")


def csv_index(root: Path) -> dict[str, str]:
    rows = []
    for name, label, image, outline in drawn():
        saved(image, root / "data" / f"{name}.jpg")
        sides = dict(zip(("x_min", "y_min", "x_max", "y_max"), box(outline), strict=True))
        rows.append({"file_name": f"{name}.jpg", "class": label, **sides})
    pd.DataFrame(rows).to_csv(root / "data" / "index.csv", index=False)
    return {"images": "data"}


def coco(root: Path) -> dict[str, str]:
    images, annotations = [], []
    for number, (name, label, image, outline) in enumerate(drawn(), 1):
        saved(image, root / "data" / "val2017" / f"{name}.jpg")
        runs = coco_mask.encode(np.asfortranarray(outline.astype(np.uint8)))
        box_xywh, area = coco_mask.toBbox(runs).tolist(), float(coco_mask.area(runs))
        x, y, width, height = box_xywh
        outlines: Any = [[x, y, x + width, y, x + width, y + height, x, y + height]]
        if number % 2:
            outlines = {"size": runs["size"], "counts": runs["counts"].decode()}
        sizes = {"width": image.width, "height": image.height}
        images.append({"id": number, "file_name": f"{name}.jpg", **sizes})
        what = {"id": number, "image_id": number, "category_id": 7 + NAMES.index(label)}
        annotations.append(
            {**what, "segmentation": outlines, "area": area, "bbox": box_xywh, "iscrowd": 0}
        )
    categories = [{"id": 7 + k, "name": name} for k, name in enumerate(NAMES)]
    found = {"images": images, "annotations": annotations, "categories": categories}
    file = root / "data" / "annotations" / "instances_val2017.json"
    file.parent.mkdir()
    file.write_text(json.dumps(found))
    theirs = torchvision.datasets.CocoDetection(str(root / "data" / "val2017"), str(file))
    assert len(theirs) == 8
    return {"images": "data"}


def voc(root: Path) -> dict[str, str]:
    folder = root / "data" / "VOCdevkit" / "VOC2012"
    for name, label, image, outline in drawn():
        saved(image, folder / "JPEGImages" / f"{name}.jpg")
        index = {"cat": 8, "dog": 12}[label]
        painted = Image.fromarray(outline.astype(np.uint8) * index, "P")
        painted.putpalette([0, 0, 0] * 8 + [64, 0, 0] + [0, 0, 0] * 3 + [64, 0, 128])
        saved(painted, folder / "SegmentationClass" / f"{name}.png")
        note = ET.Element("annotation")
        ET.SubElement(note, "filename").text = f"{name}.jpg"
        thing = ET.SubElement(note, "object")
        ET.SubElement(thing, "name").text = label
        around = ET.SubElement(thing, "bndbox")
        for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box(outline), strict=True):
            ET.SubElement(around, side).text = str(value)
        (folder / "Annotations").mkdir(exist_ok=True)
        ET.ElementTree(note).write(folder / "Annotations" / f"{name}.xml")
    for kind in ("Main", "Segmentation"):
        (folder / "ImageSets" / kind).mkdir(parents=True)
        listed = "".join(f"{name}\n" for name, *_ in drawn())
        (folder / "ImageSets" / kind / "val.txt").write_text(listed)
    theirs = torchvision.datasets.VOCSegmentation(str(root / "data"), "2012", "val")
    assert len(theirs) == 8
    return {"images": str(folder)}


def yolo(root: Path) -> dict[str, str]:
    for name, label, image, outline in drawn():
        saved(image, root / "data" / "images" / "val" / f"{name}.jpg")
        x0, y0, x1, y1 = (side / SIDE for side in box(outline))
        labels = root / "data" / "labels" / "val" / f"{name}.txt"
        labels.parent.mkdir(parents=True, exist_ok=True)
        corners = (x0, y0, x1, y0, x1, y1, x0, y1)
        labels.write_text(f"{NAMES.index(label)} " + " ".join(f"{v:.6f}" for v in corners) + "\n")
    text = "path: .\ntrain: images/val\nval: images/val\nnames:\n  0: cat\n  1: dog\n"
    (root / "data" / "data.yaml").write_text(text)
    return {"images": "data"}


def huggingface(root: Path) -> dict[str, str]:
    rows = []
    for name, label, image, _ in drawn():
        held = io.BytesIO()
        image.save(held, "PNG")
        bytes_and_path = {"bytes": held.getvalue(), "path": f"{name}.png"}
        rows.append({"image": bytes_and_path, "label": NAMES.index(label)})
    features = {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": list(NAMES)},
    }
    noted = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.Table.from_pylist(rows).replace_schema_metadata(noted)
    file = root / "data" / "data" / "test-00000-of-00001.parquet"
    file.parent.mkdir(parents=True)
    pq.write_table(table, file)
    order = {name: number for number, (name, *_) in enumerate(drawn())}
    return masks(root, lambda name, _: f"data/{file.name}/{order[name]:07d}.png")


def webdataset(root: Path) -> dict[str, str]:
    (root / "data").mkdir()
    with tarfile.open(root / "data" / "pets-000.tar", "w") as opened:
        for name, label, image, _ in drawn():
            held = io.BytesIO()
            image.save(held, "JPEG")
            for ending, content in (("jpg", held.getvalue()), ("cls", label.encode())):
                info = tarfile.TarInfo(f"{name}.{ending}")
                info.size = len(content)
                opened.addfile(info, io.BytesIO(content))
    return masks(root, lambda name, _: f"pets-000.tar/{name}.png")


FORMATS = {
    "image_folder": (image_folder, "mask_file"),
    "csv_index": (csv_index, "bounding_box"),
    "coco": (coco, "coco_segments"),
    "voc": (voc, "voc_segments"),
    "yolo": (yolo, "yolo_polygons"),
    "huggingface": (huggingface, "mask_file"),
    "webdataset": (webdataset, "mask_file"),
}


@pytest.fixture(scope="module", params=FORMATS)
def declared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """A reader and the manifest that `init` wrote for a set in its format."""
    build, _ = FORMATS[request.param]
    root = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        given = build(root)
        (root / "tiny.py").write_text(LOADER)
        (root / "classes.txt").write_text("\n".join(NAMES))
        write_manifest(root / "mine.yaml", given["images"], "tiny:load", given.get("masks"), None)
    text = (root / "mine.yaml").read_text()
    size = f"input: {{size: {SIDE}, crop: none, mean: [0, 0, 0], std: [1, 1, 1]}}\n"
    text = text.replace("  loader: tiny:load\n", f"  loader: tiny:load\n  {size}")
    if "classes:" not in text.replace("# classes:", "").replace("cmv: {classes:", ""):
        text = text.replace(
            "  loader: tiny:load\n", "  loader: tiny:load\n  classes: classes.txt\n"
        )
    (root / "mine.yaml").write_text(text)
    return str(request.param), root / "mine.yaml"


def test_check_of_a_format(declared: tuple[str, Path]) -> None:
    reader, path = declared
    manifest = load_manifest(path)
    assert manifest.dataset.reader == reader
    assert manifest.foreground.source == FORMATS[reader][1]
    found = audit.check(path, device="cpu", overrides=QUICK)
    assert (found.tried, found.unreadable_tried, found.accuracy_tried) == (8, 0, 1.0)
    assert found.swapped_tried > 0
    assert found.limits == ()
    area = 26 * 30 / SIDE**2
    assert [one.area for one in found.per_class] == pytest.approx([area] * 2, abs=0.03)


def test_a_format_in_a_bucket_is_that_on_a_disk(
    declared: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = declared
    manifest = load_manifest(path)
    monkeypatch.setenv("SALIENCY_AUDIT_CACHE", str(tmp_path / "cache"))
    roots = {
        "dataset.root": manifest.dataset.root,
        "foreground.root": manifest.foreground.options.get("root"),
    }
    roots = {key: manifest.path(str(root), key) for key, root in roots.items() if root}
    system, bucket = fsspec.filesystem("memory"), f"bucket-{tmp_path.name}"
    for key, root in roots.items():
        system.put(str(root), f"/{bucket}/{key}", recursive=True)
    there = [f"{key}=memory://{bucket}/{key}" for key in roots]
    try:
        in_bucket = scored(path, tmp_path / "there", *QUICK, *there)
    finally:
        system.rm(f"/{bucket}", recursive=True)
    on_disk = scored(path, tmp_path / "here", *QUICK)
    assert in_bucket.scores.read_bytes() == on_disk.scores.read_bytes()
    scores = pd.read_parquet(in_bucket.scores)
    assert (scores["status"] == "scored").sum() == 8
    assert scores["foreground_area"].notna().all()


def test_run_and_report_of_a_format(declared: tuple[str, Path], tmp_path: Path) -> None:
    _, path = declared
    found = audit.run(path, tmp_path / "run", device="cpu", overrides=QUICK)
    assert list(found.classes["label_name"].sort_values()) == list(NAMES)
    assert (found.classes["scored"] == 4).all()
    assert found.classes["background_gap"].abs().max() < 0.05
    again = report_again(found.folder, None, ("report.formats=[html]", "verdict.effect=0.2"))
    assert again.summary.classes == 2
    page = (found.folder.path / "report.html").read_text()
    assert all(name in page for name in NAMES)


def test_the_table_of_the_page_is_that_of_the_tests() -> None:
    rows = re.findall(
        r"^\| \[(\w+)\]\(\w+\.md\) \|.*\| (yes|no) \| (yes|no) \| (yes|no) \|$",
        (DOCS / "index.md").read_text(),
        re.MULTILINE,
    )
    assert rows == [(name, "yes", "yes", "yes") for name in READERS]
    assert set(FORMATS) == set(READERS)

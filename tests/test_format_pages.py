"""The manifest of each page on readers and foregrounds finds images and objects where it says."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from audit.dataset.batches import iterate_batches
from audit.dataset.foregrounds import FOREGROUNDS, chosen_source, open_foreground
from audit.dataset.loader import Loader, LoadingPlan
from audit.dataset.outline_store import OutlineStore
from audit.dataset.readers import READERS, read_dataset
from audit.geometry import Geometry
from audit.manifest import load_manifest

DOCS = Path(__file__).parent.parent / "docs"
PAGES = [
    *(page for page in DOCS.glob("readers/*.md") if page.stem != "index"),
    *DOCS.glob("foregrounds/*.md"),
]
BOX = (15, 10, 45, 30)
AREA = 600 / 2400


def picture() -> Image.Image:
    return Image.new("RGB", (60, 40), "green")


def mask(inside: int = 255, outside: int = 0) -> Image.Image:
    drawn = np.full((40, 60), outside, np.uint8)
    drawn[10:30, 15:45] = inside
    return Image.fromarray(drawn)


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def image_folder(root: Path) -> None:
    for image, its_mask in (
        ("cat/1.jpg", "cat/1.png"),
        ("cat/2.jpg", "cat/2_mask.png"),
        ("dog/deeper/3.png", "dog/deeper/3.png"),
    ):
        save(picture(), root / "photos" / image)
        save(mask(), root / "masks" / its_mask)


def csv_index(root: Path) -> None:
    rows = ["file_name;class;x_min;y_min;x_max;y_max"]
    for name, label in (("1.jpg", "cat"), ("2.jpg", "dog")):
        save(picture(), root / "photos" / name)
        rows.append(";".join([name, label, *map(str, BOX)]))
    text(root / "photos" / "index.csv", "\n".join(rows))


def coco(root: Path) -> None:
    save(picture(), root / "coco" / "val" / "000000000001.jpg")
    x0, y0, x1, y1 = BOX
    segment = {"segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]], "bbox": [x0, y0, 30, 20]}
    more = {"id": 1, "image_id": 1, "category_id": 1, "area": 600, "iscrowd": 0}
    image = {"id": 1, "file_name": "000000000001.jpg", "width": 60, "height": 40}
    found = {
        "images": [image],
        "annotations": [{**segment, **more}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    text(root / "coco" / "annotations" / "instances_val.json", json.dumps(found))


def voc(root: Path) -> None:
    folder, stem = root / "VOC2012", "2007_000027"
    save(picture(), folder / "JPEGImages" / f"{stem}.jpg")
    save(mask(15), folder / "SegmentationClass" / f"{stem}.png")
    sides = zip(("xmin", "ymin", "xmax", "ymax"), BOX, strict=True)
    box = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    thing = f"<object><name>person</name><bndbox>{box}</bndbox></object>"
    text(folder / "Annotations" / f"{stem}.xml", f"<annotation>{thing}</annotation>")
    text(folder / "ImageSets" / "Main" / "val.txt", f"{stem}\n")


def yolo(root: Path) -> None:
    save(picture(), root / "pets" / "images" / "val" / "1.jpg")
    text(root / "pets" / "labels" / "val" / "1.txt", "1 .25 .25 .75 .25 .75 .75 .25 .75\n")
    text(root / "pets" / "data.yaml", "path: .\nval: images/val\nnames: {0: cat, 1: dog}\n")


def huggingface(root: Path) -> None:
    save(picture(), root / "pets" / "test" / "1.jpg")
    save(mask(), root / "masks" / "1.png")
    text(root / "pets" / "test" / "metadata.jsonl", '{"file_name": "1.jpg", "label": "cat"}\n')


def webdataset(root: Path) -> None:
    held = io.BytesIO()
    picture().save(held, "JPEG")
    (root / "shards").mkdir()
    with tarfile.open(root / "shards" / "pets-000.tar", "w") as opened:
        for name, content in (("0001.jpg", held.getvalue()), ("0001.cls", b"cat")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    save(mask(), root / "masks" / "pets-000.tar" / "0001.png")


def mask_file(root: Path) -> None:
    save(picture(), root / "photos" / "cat" / "1.jpg")
    trimap = mask(1, 2)
    trimap.paste(3, (0, 0, 60, 2))
    save(trimap, root / "masks" / "cat" / "1_trimap.png")


BUILDERS: dict[str, Callable[[Path], None]] = {
    "image_folder": image_folder,
    "csv_index": csv_index,
    "coco": coco,
    "voc": voc,
    "yolo": yolo,
    "huggingface": huggingface,
    "webdataset": webdataset,
    "mask_file": mask_file,
    "bounding_box": csv_index,
    "coco_segments": coco,
    "voc_segments": voc,
    "yolo_polygons": yolo,
    "estimated": image_folder,
}


def test_every_reader_and_foreground_has_a_page() -> None:
    assert {page.stem for page in PAGES} == {*READERS, *FOREGROUNDS} == set(BUILDERS)
    shown = (DOCS.parent / "mkdocs.yml").read_text()
    assert [page for page in PAGES if f"{page.relative_to(DOCS)}\n" not in shown] == []


@pytest.mark.parametrize("page", [page.stem for page in PAGES])
def test_the_manifest_of_a_page_reads_what_its_format_writes(tmp_path: Path, page: str) -> None:
    (path,) = [one for one in PAGES if one.stem == page]
    (declared,) = re.findall(r"```yaml\n(.*?)```", path.read_text(), re.DOTALL)
    (tmp_path / "audit.yaml").write_text(declared)
    BUILDERS[page](tmp_path)
    manifest = load_manifest(tmp_path / "audit.yaml")
    dataset, options = manifest.dataset, manifest.foreground.options
    found = read_dataset(dataset.reader, manifest.path(dataset.root), dataset.options)
    assert not found.skipped
    source = chosen_source(
        manifest.foreground.source,
        masks=True,
        boxes=bool((found.table["boxes"] != "[]").any()),
        outlines=found.outlines,
    )
    open_foreground(source, options, tmp_path)
    outlines = OutlineStore((tmp_path,), "network")
    for content in (tmp_path / "photos").rglob("*.[jp][pn]g"):
        # As a network would have drawn it.
        sha256 = hashlib.sha256(content.read_bytes()).hexdigest()
        outlines.put(sha256, np.asarray(mask().resize((320, 320), Image.Resampling.NEAREST)) / 255)
    plan = LoadingPlan(Geometry(48, None, "none", "nearest"), source, options, tmp_path, outlines)
    with Loader(plan, 1) as loader:
        (batch,) = iterate_batches(found.table.assign(label=0), loader, 8)
    assert not batch.unreadable
    # The page on boxes widens them by 5 % on each side.
    margin = 1.1**2 if page == "bounding_box" else 1
    for one in batch.loaded:
        assert one.foreground is not None, one.foreground_problem
        assert (one.foreground == 1).mean() == pytest.approx(AREA * margin, abs=0.04)

"""The page on hostile annotations, row by row: of four images one is written about wrongly."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import audit
from audit.dataset.foregrounds import open_foreground
from audit.dataset.loading import load_sample
from audit.dataset.readers import read_dataset
from audit.errors import InputError, SampleError
from audit.findings import Status
from audit.geometry import Geometry
from audit.models.label_order import order_complaint
from audit.models.labels import match_labels
from audit.report.sentences import problems
from audit.scoring import STATUSES, score_maps

CODES = set(problems._WORDS)
PAGE = Path(__file__).parents[1] / "docs" / "hostile.md"
WIDTH, HEIGHT = 60, 40
GOOD = [10, 5, 20, 20]
"""A box as COCO writes it; and what it encloses as a polygon."""
SQUARE = [10, 5, 30, 5, 30, 25, 10, 25]
LAUGHS = '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><annotation>&b;</annotation>'


@dataclass
class Outcome:
    """What became of a dataset of four images: codes, images without a foreground, or a stop."""

    codes: set[str] = field(default_factory=set)
    lost: int = 0
    said: str = ""
    classes: str = ""


def outcome(reader: str, root: Path, source: str | None = None, **options: Any) -> Outcome:
    """List and load a dataset as a run does, and gather what was said of it."""
    foreground_options = options.pop("foreground", {})
    try:
        found = read_dataset(reader, root, options)
    except InputError as error:
        return Outcome(lost=4, said=str(error))
    classes = " ".join(sorted(set(found.table["label_name"])))
    result = Outcome({item.reason for item in found.skipped}, said=" ".join(found.remarks))
    result.classes = classes
    opened = open_foreground(source, foreground_options, root) if source else None
    usable = 0
    for sample in found.samples:
        try:
            loaded = load_sample(sample, Geometry(WIDTH, None, "none", "nearest"), opened)
        except SampleError as error:
            result.codes.add(error.reason)
            continue
        problem = loaded.foreground_problem.partition(":")[0]
        if loaded.foreground is not None:
            given = torch.from_numpy(np.array(loaded.foreground))[None]
            scores = score_maps(torch.ones(given.shape), given == 1, given == 255)
            status = STATUSES[int(scores["status"][0])]
            problem = "" if status is Status.SCORED else status.upper()
        result.codes |= {n for n in loaded.notes if n != "UNIFORM_IMAGE"} | ({problem} - {""})
        usable += not problem
    result.lost = 4 - usable
    return result


def pictures(folder: Path, size: tuple[int, int] = (WIDTH, HEIGHT)) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number}.png" for number in range(4)]
    for name in names:
        Image.new("RGB", size, "green").save(folder / name)
    return names


def coco(source: str = "coco_segments", **wrong: Any) -> Callable[[Path], Outcome]:
    """Four images, and the last one's annotation changed; or keys of the file, in capitals."""

    def act(root: Path) -> Outcome:
        names = pictures(root / "images", wrong.pop("SIZE", (WIDTH, HEIGHT)))
        held = {
            "images": [
                {"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT}
                for i, name in enumerate(names)
            ],
            "annotations": [
                {"image_id": i, "category_id": 1, "bbox": GOOD, "segmentation": [SQUARE], "area": 4}
                for i in range(4)
            ],
            "categories": [{"id": 1, "name": "cat"}],
        }
        held["annotations"] += wrong.pop("MORE", [])
        held["images"] += wrong.pop("IMAGES", [])
        held["annotations"][3].update(wrong)
        if source == "bounding_box":
            for one in held["annotations"]:
                one.pop("segmentation", None)
        (root / "instances.json").write_text(json.dumps(held))
        return outcome("coco", root, source)

    return act


def coco_text(text: str) -> Callable[[Path], Outcome]:
    def act(root: Path) -> Outcome:
        pictures(root / "images")
        (root / "instances.json").write_text(text)
        return outcome("coco", root)

    return act


def voc(last: str = "", *, lacks: bool = False, **size: int) -> Callable[[Path], Outcome]:
    """Four images, and the last one's XML; or none; or a size that is not the pictures'."""

    def act(root: Path) -> Outcome:
        names = pictures(root / "JPEGImages")
        (root / "Annotations").mkdir()
        sides = {"xmin": 11, "ymin": 6, "xmax": 30, "ymax": 25}
        box = "".join(f"<{side}>{value}</{side}>" for side, value in sides.items())
        said = "".join(f"<{side}>{value}</{side}>" for side, value in size.items())
        good = f"<object><name>cat</name><bndbox>{box}</bndbox></object>"
        for name in names[: 3 if lacks else 4]:
            text = f"<annotation><size>{said}</size>{good}</annotation>"
            if name == names[3] and last:
                text = last
            (root / "Annotations" / name.replace("png", "xml")).write_text(text)
        return outcome("voc", root, "bounding_box")

    return act


def yolo(
    last: str | None, source: str = "bounding_box", more: str = ""
) -> Callable[[Path], Outcome]:
    def act(root: Path) -> Outcome:
        names = pictures(root / "images" / "val")
        (root / "labels" / "val").mkdir(parents=True)
        (root / "data.yaml").write_text("val: images/val\nnames: [cat, dog]\n")
        good = "0 .2 .2 .6 .2 .6 .6" if source == "yolo_polygons" else "0 .5 .5 .4 .4"
        for name in [*names, *([more] if more else [])]:
            text = last if name == names[3] else good
            if text is not None:
                (root / "labels" / "val" / f"{Path(name).stem}.txt").write_text(text)
        return outcome("yolo", root, source)

    return act


def table(
    last: str, head: str = "path,label", good: str = "{},cat", source: str | None = None
) -> Callable[[Path], Outcome]:
    """Four rows, the last of them wrong."""

    def act(root: Path) -> Outcome:
        names = pictures(root)
        rows = [good.format(name) for name in names[:3]]
        (root / "index.csv").write_bytes("\n".join([head, *rows, last, ""]).encode("utf-8"))
        return outcome("csv_index", root, source)

    return act


BOXES = "path,label,x0,y0,x1,y1", "{},cat,10,5,30,25", "bounding_box"
SHARES = "path,label,x0,y0,x1,y1", "{},cat,.1,.2,.5,.7", "bounding_box"


def masks(last: Image.Image | None) -> Callable[[Path], Outcome]:
    def act(root: Path) -> Outcome:
        names = pictures(root / "images" / "cat")
        (root / "masks" / "cat").mkdir(parents=True)
        good = np.zeros((HEIGHT, WIDTH), np.uint8)
        good[5:25, 10:30] = 255
        for name in names:
            image = last if name == names[3] else Image.fromarray(good)
            if image is not None:
                image.save(root / "masks" / "cat" / name)
        return outcome(
            "image_folder", root / "images", "mask_file", foreground={"root": "../masks"}
        )

    return act


def bordered() -> Image.Image:
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    drawn[4:26, 9:31] = 255
    drawn[5:25, 10:30] = 1
    return Image.fromarray(drawn)


def metadata(last: str, name: str = "metadata.jsonl") -> Callable[[Path], Outcome]:
    def act(root: Path) -> Outcome:
        names = pictures(root)
        rows = [json.dumps({"file_name": one, "label": "cat"}) for one in names[:3]]
        (root / name).write_text("\n".join([*rows, last, ""]))
        return outcome("huggingface", root)

    return act


def labels(names: list[str], classes: list[str] | None, outputs: int) -> Callable[[Path], Outcome]:
    def act(root: Path) -> Outcome:
        try:
            match_labels(names, classes, outputs)
        except InputError as error:
            return Outcome(lost=4, said=str(error))
        return Outcome()

    return act


def swapped(root: Path) -> Outcome:
    """Twelve images of two classes; the model answers each with the other's number."""
    truth = np.array([0, 1] * 6)
    return Outcome(lost=4, said=order_complaint(truth, 1 - truth, ["cat", "dog"]))


def runs(*counts: int) -> dict[str, Any]:
    return {"size": [HEIGHT, WIDTH], "counts": list(counts)}


ALL = WIDTH * HEIGHT
ACTS: dict[str, Callable[[Path], Outcome]] = {
    "a mask of another size": masks(Image.new("L", (30, 20), 255)),
    "no mask": masks(None),
    "an empty mask": masks(Image.new("L", (WIDTH, HEIGHT))),
    "a mask of the whole picture": masks(Image.new("L", (WIDTH, HEIGHT), 255)),
    "a border of 255 around an object of 1": masks(bordered()),
    "COCO polygons of pictures that were resized since": coco(SIZE=(30, 20)),
    "COCO boxes of pictures that were resized since": coco("bounding_box", SIZE=(30, 20)),
    "VOC boxes of pictures that were resized since": voc(width=600, height=400),
    "a COCO box over the border": coco("bounding_box", bbox=[40, 20, 90, 90]),
    "a COCO box without area": coco("bounding_box", bbox=[10, 5, 0, 9]),
    "a COCO box beyond the picture": coco("bounding_box", bbox=[500, 500, 10, 10]),
    "one of two COCO boxes without area": coco(
        "bounding_box", MORE=[{"image_id": 3, "category_id": 1, "bbox": [1, 1, -5, 9]}]
    ),
    "a COCO box of NaN": coco("bounding_box", bbox=[float("nan"), 1, 5, 5]),
    "a COCO box of text": coco("bounding_box", bbox="everything"),
    "a CSV box of NaN": table("3.png,cat,nan,5,30,25", *BOXES),
    "a CSV box of words": table("3.png,cat,a,b,c,d", *BOXES),
    "a CSV box of pixels among shares": table(
        "3.png,cat,10,5,30,25", SHARES[0], "\n".join(["{0},cat,.1,.2,.5,.7"] * 4), SHARES[2]
    ),
    "a YOLO box beyond the picture": yolo("0 1.5 .5 .4 .4"),
    "a YOLO line of too few numbers": yolo("0 .5 .5"),
    "a YOLO class that is no whole number": yolo("0.5 .5 .5 .4 .4"),
    "run lengths that do not add up": coco(segmentation=runs(5, 5)),
    "run lengths of a swapped size": coco(segmentation={"size": [WIDTH, HEIGHT], "counts": [ALL]}),
    "negative run lengths": coco(segmentation=runs(-1, ALL + 1)),
    "run lengths beyond all memory": coco(segmentation=runs(10**18, 1)),
    "compressed run lengths of no alphabet": coco(
        segmentation={"size": [HEIGHT, WIDTH], "counts": "\x01\x02"}
    ),
    "a crowd beside the object": coco(
        MORE=[{"image_id": 3, "category_id": 1, "iscrowd": 1, "segmentation": runs(9, ALL - 9)}]
    ),
    "a polygon of NaN": coco(segmentation=[[float("nan")] * 6]),
    "a polygon at 1e12": coco(segmentation=[[0, 0, 1e12, 0, 1e12, 1e12]]),
    "a polygon of an odd number": coco(segmentation=[SQUARE[:-1]]),
    "a polygon outside the picture": coco(segmentation=[[v + 900 for v in SQUARE]]),
    "a segmentation of text": coco(segmentation="all"),
    "COCO: an image without annotations": coco(
        IMAGES=[{"id": 9, "file_name": "none.png", "width": WIDTH, "height": HEIGHT}]
    ),
    "COCO: annotations of no image": coco(MORE=[{"image_id": 99, "category_id": 1}]),
    "COCO: an annotation of no category": coco(MORE=[{"image_id": 3, "category_id": 77}]),
    "COCO: half a character in a file name": coco(
        IMAGES=[{"id": 8, "file_name": "\ud800.png", "width": WIDTH, "height": HEIGHT}],
        MORE=[{"image_id": 8, "category_id": 1, "bbox": GOOD}],
    ),
    "COCO: an annotation that is none": coco(MORE=[["image_id", 3]]),
    "VOC: an image without annotation": voc(lacks=True),
    "YOLO: an image without label file": yolo(None),
    "YOLO: a label file of no image": yolo("0 .5 .5 .4 .4", more="gone.png"),
    "Hugging Face: an image in no row": metadata(""),
    "Hugging Face: a row of no image": metadata('{"file_name": "gone.png", "label": "cat"}'),
    "CSV: a row of no image": table("gone.png,cat"),
    "VOC: entities that multiply": voc(LAUGHS),
    "VOC: an entity that names a file": voc(
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>'
    ),
    "VOC: tags nested 10,000 deep": voc("<a>" * 10_000 + "</a>" * 10_000),
    "VOC: XML that is cut off": voc("<annotation><object><name>cat</na"),
    "COCO: JSON that is cut off": coco_text('{"images": [{"id": 1,\n "file'),
    "COCO: a list": coco_text("[1, 2]"),
    "COCO: a number of 5,000 digits": coco_text('{"images": [{"id": ' + "9" * 5000 + "}]}"),
    "COCO: 100,000 brackets": coco_text('{"images": ' + "[" * 100_000),
    "metadata.jsonl: a line that is no JSON": metadata("{'file_name': 3}"),
    "metadata.jsonl: 100,000 brackets": metadata("[" * 100_000),
    "CSV: a NUL": table("3\0.png,cat"),
    "CSV: a byte order mark": table("3.png,cat", "\ufeffpath,label"),
    "CSV: classes NA and 007": table("3.png,NA", good="{},007"),
    "CSV: a path out of the folder": table("../../etc/passwd,cat"),
    "CSV: a row without a class": table("3.png,"),
    "CSV: more values than columns": table("3.png,cat,dog,cow"),
    "a class number beyond the outputs": labels(["0", "7"], ["cat", "dog"], 2),
    "a class of which the model knows nothing": labels(["cat", "cow"], ["cat", "dog"], 2),
    "the class number -1": labels(["-1", "0"], ["cat", "dog"], 2),
    "two class names swapped": swapped,
    "numbers in the order of text": labels([str(n) for n in range(12)], None, 12),
}


def rows() -> dict[str, tuple[str, str]]:
    """What the page says: what is written, what comes of it, and how many images it costs."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and re.fullmatch(r"F\d\d", cells[0]):
            found[cells[1]] = cells[2], cells[3]
    return found


@pytest.mark.parametrize("written", ACTS)
def test_the_page_says_what_happens(written: str, tmp_path: Path) -> None:
    happened = ACTS[written](tmp_path)
    said, lost = rows()[written]
    quoted = re.findall(r"`([^`]+)`", said)
    codes = {text for text in quoted if text in CODES}
    assert happened.codes == codes, happened
    others = [text for text in quoted if text not in codes]
    assert [t for t in others if t not in f"{happened.said} {happened.classes}"] == [], happened
    assert (lost == "stops") == (happened.lost == 4 and bool(happened.said)), happened
    assert lost == "stops" or int(lost) == happened.lost, happened
    assert "Traceback" not in happened.said


def test_no_row_of_the_page_is_without_its_test() -> None:
    assert set(rows()) == set(ACTS)


def test_every_reason_has_words() -> None:
    raised = set()
    for path in Path(audit.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("SampleError", "Skipped"):
                given = [a.value for a in node.args[:2] if isinstance(a, ast.Constant)]
                raised |= {code for code in given if re.fullmatch(r"[A-Z][A-Z_]+", str(code))}
    assert len(raised) > 40
    assert raised - CODES == set()

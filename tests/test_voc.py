"""PASCAL VOC's layout: boxes, segmentation images, and XML that means harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from audit.dataset.foregrounds import open_foreground
from audit.dataset.loading import LoadedSample, load_sample
from audit.dataset.readers import read_dataset
from audit.dataset.voc import CLASSES, colour_of, parse_xml
from audit.errors import DatasetError, SampleError
from audit.geometry import Geometry

LAUGHS = (
    '<!DOCTYPE l [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
    + "]><annotation><filename>&j;</filename></annotation>"
)


def thing(name: str, *corners: float, difficult: int = 0) -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    box = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    return (
        f"<object><name>{name}</name><difficult>{difficult}</difficult>"
        f"<bndbox>{box}</bndbox></object>"
    )


def write(root: Path, stem: str, *objects: str, text: str = "") -> None:
    for name in ("Annotations", "JPEGImages", "SegmentationClass", "ImageSets/Main"):
        (root / name).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40), "green").save(root / "JPEGImages" / f"{stem}.jpg")
    content = text or f"<annotation><filename>{stem}.jpg</filename>{''.join(objects)}</annotation>"
    (root / "Annotations" / f"{stem}.xml").write_text(content)


def load(root: Path, source: str, **options: Any) -> LoadedSample:
    (sample,) = read_dataset("voc", root, {}).samples
    opened = open_foreground(source, options, root)
    return load_sample(sample, Geometry(60, None, "none", "nearest"), opened)


def test_labels_boxes_and_splits(tmp_path: Path) -> None:
    write(tmp_path, "2007_1", thing("dog", 11, 6, 30, 25), thing("cat", 1, 1, 5, 5))
    write(tmp_path, "2007_2", thing("cat", 1, 1, 5, 5), thing("dog", 1, 1, 60, 40, difficult=1))
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("2007_2\n../x\n")
    first, second = read_dataset("voc", tmp_path, {}).samples
    assert (first.sample_id, first.label_name) == ("2007_1.jpg", "dog")
    # VOC counts pixels from 1.
    assert first.boxes == ((10, 5, 30, 25),)
    assert second.label_name == "cat"
    (only,) = read_dataset("voc", tmp_path, {"split": "val", "difficult": True}).samples
    assert only.label_name == "dog"
    with pytest.raises(DatasetError, match=r"dataset\.split: no list ImageSets/Main/test\.txt"):
        read_dataset("voc", tmp_path, {"split": "test"})
    with pytest.raises(DatasetError, match="no folder Annotations"):
        read_dataset("voc", tmp_path / "JPEGImages", {})


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_the_segments_of_a_class_in_every_mode(tmp_path: Path, mode: str) -> None:
    write(tmp_path, "a", thing("dog", 11, 6, 30, 25))
    stored = np.zeros((40, 60), np.uint8)
    stored[5:25, 10:30] = CLASSES.index("dog") + 1
    stored[5:25, 40:50] = CLASSES.index("cat") + 1
    stored[4, 10:30] = 255
    image = Image.fromarray(stored)
    if mode != "L":
        image.putpalette([channel for i in range(256) for channel in colour_of(i)])
    image.convert(mode).save(tmp_path / "SegmentationClass" / "a.png")
    loaded = load(tmp_path, "voc_segments")
    assert loaded.foreground is not None, loaded.foreground_problem
    expected = np.asarray(Image.fromarray(stored).resize((60, 60), Image.Resampling.NEAREST))
    assert np.array_equal(loaded.foreground == 1, expected == 12)
    assert np.array_equal(loaded.foreground == 255, expected == 255)
    whole = load(tmp_path, "voc_segments", border="object").foreground
    assert whole is not None
    assert np.array_equal(whole == 1, (expected == 12) | (expected == 255))


def test_the_colours_of_cvats_labelmap(tmp_path: Path) -> None:
    write(tmp_path, "a", thing("robot", 11, 6, 30, 25))
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nrobot:10,200,30::\n"
    )
    drawn = np.zeros((40, 60, 3), np.uint8)
    drawn[5:25, 10:30] = (10, 200, 30)
    Image.fromarray(drawn).save(tmp_path / "SegmentationClass" / "a.png")
    loaded = load(tmp_path, "voc_segments")
    assert loaded.foreground is not None, loaded.foreground_problem
    assert (loaded.foreground == 1).mean() == pytest.approx(400 / 2400, abs=0.01)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        '<!DOCTYPE x SYSTEM "file:///etc/passwd"><annotation/>',
        "<annotation>" * 100_000,
        "<annotation><object></annotation>",
        "",
        f"<annotation>{thing('dog', 'nan', 1, 2, 3)}</annotation>",
        f"<annotation>{thing('dog', '1e999', 1, 2, 3)}</annotation>",
        f"<annotation>{thing('', 1, 1, 2, 3)}</annotation>",
        "<annotation/>",
    ],
)
def test_hostile_annotations_cost_their_image(tmp_path: Path, text: str) -> None:
    write(tmp_path, "good", thing("dog", 11, 6, 30, 25))
    write(tmp_path, "bad", text=text or " ")
    found = read_dataset("voc", tmp_path, {})
    assert [sample.sample_id for sample in found.samples] == ["good.jpg"]
    assert [(item.path, item.reason) for item in found.skipped] in (
        [("bad.xml", "BAD_ANNOTATION")],
        [("bad.xml", "NO_LABEL")],
    )


def test_entities_are_refused_in_every_encoding() -> None:
    for encoding in ("utf-8", "utf-16"):
        with pytest.raises(SampleError, match="document type"):
            parse_xml(LAUGHS.encode(encoding))

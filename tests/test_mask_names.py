"""Masks are found by the names in use, or by a pattern, and never are the image itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from audit.dataset.foregrounds import open_foreground
from audit.dataset.loading import LoadedSample, load_sample
from audit.dataset.mask_names import STEMS
from audit.dataset.readers import read_dataset
from audit.dataset.samples import Sample
from audit.errors import ManifestError
from audit.geometry import Geometry


def save(path: Path, mode: str = "RGB", left: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((16, 16), np.uint8)
    pixels[4:9, left : left + 4] = 255
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def load(folder: Path, image: str = "cat/a.jpg", **options: Any) -> LoadedSample:
    sample = Sample(image, save(folder / "images" / image), Path(image).parts[0])
    source = open_foreground("mask_file", options, folder)
    return load_sample(sample, Geometry(16, None, "none", "nearest"), source)


def columns(loaded: LoadedSample) -> list[int]:
    assert loaded.foreground is not None, loaded.foreground_problem
    return np.flatnonzero((loaded.foreground == 1).any(0)).tolist()


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("ending", [".png", ".gif"])
def test_the_names_in_use_are_found(tmp_path: Path, stem: str, ending: str) -> None:
    name = stem.format(stem="a", name="a.jpg") + ending
    save(tmp_path / "masks" / "cat" / name)
    assert columns(load(tmp_path, root="masks")) == [3, 4, 5, 6]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"suffix": "_mask.png"}, "cat/a_mask.png"),
        ({"suffix": ".gif"}, "cat/a.gif"),
        ({"pattern": "{stem}_seg0.png"}, "cat/a_seg0.png"),
        ({"pattern": ["{stem}_x.png", "{name}.y.png"]}, "cat/a.jpg.y.png"),
        ({"pattern": "./{stem}.png"}, "a.png"),
        ({"pattern": "{class}-masks/{stem}.png"}, "cat-masks/a.png"),
    ],
)
def test_a_pattern_names_any_other(tmp_path: Path, options: dict[str, Any], name: str) -> None:
    save(tmp_path / "masks" / name)
    assert columns(load(tmp_path, root="masks", **options)) == [3, 4, 5, 6]


def test_the_masks_of_several_objects_are_joined(tmp_path: Path) -> None:
    folder = tmp_path / "masks" / "cat"
    save(folder / "a_mask.png")
    save(folder / "a_mask_1.png", left=9)
    assert columns(load(tmp_path, root="masks")) == [3, 4, 5, 6, 9, 10, 11, 12]
    save(folder / "b_0.png")
    save(folder / "b_1.png", left=10)
    several = load(tmp_path, "cat/b.jpg", root="masks", pattern="{stem}_*.png")
    assert columns(several) == [3, 4, 5, 6, 10, 11, 12, 13]
    # The mask of an image a_1 is none of a.
    save(folder / "c.png")
    save(folder / "c_1.png", left=9)
    assert columns(load(tmp_path, "cat/c.jpg", root="masks")) == [3, 4, 5, 6]


def test_masks_beside_their_images_are_no_images(tmp_path: Path) -> None:
    images = tmp_path / "images"
    for name in ("benign (1).png", "benign (2).png", "gas_mask.png"):
        save(images / "benign" / name)
    save(images / "benign" / "benign (1)_mask.png")
    save(images / "benign" / "benign (1)_mask_1.png", left=9)
    found = read_dataset("image_folder", images, {})
    assert [s.sample_id for s in found.samples] == [
        "benign/benign (1).png",
        "benign/benign (2).png",
        "benign/gas_mask.png",
    ]
    assert [s.reason for s in found.skipped] == ["MASK_BESIDE_IMAGE"] * 2
    joined = columns(load(tmp_path, "benign/benign (1).png"))
    assert joined == [3, 4, 5, 6, 9, 10, 11, 12]
    # An image is never its own mask.
    assert load(tmp_path, "benign/benign (2).png").foreground_problem.startswith("NO_MASK")
    same = load(tmp_path, "benign/benign (2).png", root="images", pattern="{name}")
    assert same.foreground_problem.startswith("NO_MASK")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"suffix": "_mask"}, r"foreground\.suffix: expected an ending"),
        ({"suffix": ".png", "pattern": "{stem}.png"}, "pattern and suffix"),
        ({"pattern": "mask.png"}, r"foreground\.pattern: expected a name with \{stem\}"),
        ({"pattern": "{stem}_{id}.png"}, r"foreground\.pattern"),
        ({"pattern": "{stem"}, r"foreground\.pattern"),
        ({"pattern": ["{stem}.png", 7]}, r"foreground\.pattern: expected a name.*found 7"),
        ({"values": "white"}, r"foreground\.values: expected a whole number"),
        ({"ignore": True}, r"foreground\.ignore"),
        ({"channel": "red"}, r"foreground\.channel: expected alpha \| colour"),
        ({"threshold": -1}, r"foreground\.threshold"),
        ({"threshold": 0.5, "values": 1}, "threshold and values"),
    ],
)
def test_options_that_cannot_be_are_refused_before_any_image(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        open_foreground("mask_file", options, tmp_path)

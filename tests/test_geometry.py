"""One way for image and mask, and masks are never mixed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from audit.dataset.foregrounds import open_foreground
from audit.dataset.loading import load_sample
from audit.dataset.samples import Sample
from audit.geometry import Geometry

VALUES = np.array([0, 7, 100, 255], np.uint8)


def nearest(mask: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The pixel below the middle of each new pixel."""
    rows = [(2 * i + 1) * mask.shape[0] // (2 * height) for i in range(height)]
    columns = [(2 * i + 1) * mask.shape[1] // (2 * width) for i in range(width)]
    return mask[np.ix_(rows, columns)]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("shape", [(12, 9), (7, 31), (3, 5)])
def test_a_mask_takes_the_nearest_pixel(shape: tuple[int, int], interpolation: str) -> None:
    mask = np.random.default_rng(0).choice(VALUES, shape)
    whole = Geometry(8, None, "none", interpolation).apply(Image.fromarray(mask), is_mask=True)
    assert np.array_equal(np.asarray(whole), nearest(mask, 8, 8))


def test_a_cropped_mask_takes_the_nearest_pixel_too() -> None:
    mask = np.random.default_rng(0).choice(VALUES, (18, 27))
    cropped = Geometry(6, 10).apply(Image.fromarray(mask), is_mask=True)
    # 18 x 27 becomes 10 x 15; of that the middle, four halves rounded to the even number.
    assert np.array_equal(np.asarray(cropped), nearest(mask, 10, 15)[2:8, 4:10])


@given(
    height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(1, 24),
    resize=st.integers(1, 30), crop=st.sampled_from(["none", "center"]),
)  # fmt: skip
def test_a_mask_gets_no_value_that_was_not_drawn(
    height: int, width: int, size: int, resize: int, crop: str
) -> None:
    mask = np.random.default_rng(0).choice(VALUES[1:], (height, width))
    fitted = np.asarray(Geometry(size, resize, crop).apply(Image.fromarray(mask), is_mask=True))
    assert fitted.shape == (size, size)
    # Black is what pads a crop larger than the image.
    assert set(np.unique(fitted)) <= {*np.unique(mask), 0}


def test_an_image_is_mixed_as_declared() -> None:
    image = Image.fromarray(np.array([[0, 255], [0, 255]], np.uint8))
    found = {
        name: np.asarray(Geometry(4, None, "none", name).apply(image))[0].tolist()
        for name in ("nearest", "bilinear", "bicubic")
    }
    assert found == {
        "nearest": [0, 0, 255, 255],
        # Weights 3/4 and 1/4; by Keys's kernel, a = -1/2, 111/128 and 29/128 over their sum.
        "bilinear": [0, 64, 191, 255],
        "bicubic": [0, 53, 202, 255],
    }


@pytest.mark.parametrize("side", [5, 40])
def test_object_background_and_neither_stay_apart_when_a_mask_is_fitted(
    tmp_path: Path, side: int
) -> None:
    drawn = np.zeros((16, 16), np.uint8)
    drawn[:, 5:] = 3
    drawn[:, 11:] = 9
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    Image.fromarray(drawn).convert("RGB").save(tmp_path / "a.png")
    sample = Sample("a.png", tmp_path / "a.png", "a", mask=tmp_path / "mask.png")
    source = open_foreground("mask_file", {"values": [3], "ignore": 9}, tmp_path)
    mask = load_sample(sample, Geometry(side, None, "none"), source).foreground
    assert mask is not None
    assert np.array_equal(mask, nearest(np.select([drawn == 3, drawn == 9], [1, 255]), side, side))

"""Masks mean what a person sees in the file, whatever mode, palette or alpha it is saved with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from audit.dataset.foregrounds import open_foreground
from audit.dataset.loading import LoadedSample, load_sample
from audit.dataset.outlines import FOREGROUND, IGNORED
from audit.dataset.samples import Sample
from audit.geometry import Geometry

WHOLE = Geometry(48, None, "none", "nearest")


def drawn() -> np.ndarray:
    """The object, bool (48, 48)."""
    truth = np.zeros((48, 48), bool)
    truth[12:30, 5:20] = True
    return truth


def white_on_black() -> Image.Image:
    return Image.fromarray((drawn() * 255).astype(np.uint8))


def load(folder: Path, mask: Image.Image | Path, **options: Any) -> LoadedSample:
    if isinstance(mask, Image.Image):
        mask.save(folder / "mask.png")
        mask = folder / "mask.png"
    image = np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8)
    Image.fromarray(image).save(folder / "image.png")
    sample = Sample("image.png", folder / "image.png", "a", mask)
    return load_sample(sample, WHOLE, open_foreground("mask_file", options, folder))


def assert_is_object(loaded: LoadedSample) -> None:
    assert loaded.foreground is not None, loaded.foreground_problem
    assert np.array_equal(loaded.foreground == FOREGROUND, drawn())


def palette(stored: np.ndarray, *colours: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(stored.astype(np.uint8))
    image.putpalette([channel for colour in colours for channel in colour])
    return image


def with_alpha(mode: str, colour: Any, alpha: np.ndarray) -> Image.Image:
    image = Image.new(mode, (48, 48), colour)
    image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return image


BLACK, WHITE = (0, 0, 0), (255, 255, 255)
SAVED: dict[str, Callable[[], Image.Image]] = {
    "1": lambda: white_on_black().convert("1"),
    "L": white_on_black,
    "L of 0 and 1": lambda: Image.fromarray(drawn().astype(np.uint8)),
    "I;16": lambda: Image.fromarray(drawn().astype(np.uint16) * 65535),
    "RGB": lambda: white_on_black().convert("RGB"),
    "RGB in colour": lambda: Image.composite(
        Image.new("RGB", (48, 48), (0, 90, 0)), Image.new("RGB", (48, 48)), white_on_black()
    ),
    "quantised": lambda: white_on_black().convert("RGB").quantize(2),
    "adaptive": lambda: white_on_black().convert(
        "P", palette=Image.Palette.ADAPTIVE, colors=2
    ),
    "palette [white, black]": lambda: palette(~drawn(), WHITE, BLACK),
    "palette [black, red]": lambda: palette(drawn(), BLACK, (200, 0, 0)),
    "RGBA, opaque": lambda: white_on_black().convert("RGBA"),
    "LA, opaque": lambda: white_on_black().convert("LA"),
    "RGBA, white behind what is transparent": lambda: with_alpha("RGB", WHITE, drawn() * 255),
    "RGBA, black on transparent": lambda: with_alpha("RGB", BLACK, drawn() * 255),
    "RGBA, a half transparent overlay": lambda: with_alpha("RGB", (255, 0, 0), drawn() * 128),
    "LA, white behind what is transparent": lambda: with_alpha("L", 255, drawn() * 255),
}  # fmt: skip


@pytest.mark.parametrize("saved", SAVED)
def test_the_object_is_what_a_person_sees(tmp_path: Path, saved: str) -> None:
    assert_is_object(load(tmp_path, SAVED[saved]()))


def test_a_mask_with_its_colours_in_one_and_its_object_in_the_palettes_transparency(
    tmp_path: Path,
) -> None:
    image = palette(drawn(), WHITE, BLACK)
    image.save(tmp_path / "mask.png", transparency=0)
    assert_is_object(load(tmp_path, tmp_path / "mask.png"))
    image.save(tmp_path / "mask.gif", transparency=0)
    assert_is_object(load(tmp_path, tmp_path / "mask.gif"))
    image.putalpha(Image.fromarray((drawn() * 255).astype(np.uint8)))
    image.convert("PA").save(tmp_path / "mask.tiff")
    with Image.open(tmp_path / "mask.tiff") as saved:
        assert saved.mode == "PA"
    assert_is_object(load(tmp_path, tmp_path / "mask.tiff"))


def test_a_cutout_is_an_object_to_its_darkest_pixel(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (48, 48, 4), dtype=np.uint8)
    pixels[14:16, 6:9, :3] = 0
    pixels[..., 3] = drawn() * 255
    assert_is_object(load(tmp_path, Image.fromarray(pixels)))


def test_black_and_one_colour_decide_within_what_is_not_transparent(tmp_path: Path) -> None:
    image = white_on_black().convert("RGBA")
    corner = np.full((48, 48), 255, np.uint8)
    corner[40:, 40:] = 0
    image.putalpha(Image.fromarray(corner))
    assert_is_object(load(tmp_path, image))
    alone = load(tmp_path, image, channel="alpha").foreground
    assert alone is not None
    assert np.array_equal(alone == FOREGROUND, corner > 0)


def test_the_channel_can_be_chosen(tmp_path: Path) -> None:
    image = white_on_black().convert("RGBA")
    image.putalpha(Image.fromarray((~drawn() * 255).astype(np.uint8)))
    assert_is_object(load(tmp_path, image, channel="colour"))
    assert_is_object(load(tmp_path, image, channel="alpha", inverted=True))
    plain = load(tmp_path, white_on_black(), channel="alpha")
    assert plain.foreground_problem.startswith("MASK_NO_ALPHA")


def test_values_are_the_indices_of_a_palette(tmp_path: Path) -> None:
    stored = drawn() * 2
    stored[0] = 1
    image = palette(stored, (255, 255, 255), (10, 20, 30), (0, 0, 0))
    assert_is_object(load(tmp_path, image, values=2))
    # A palette of three colours has no 255: the grey value is meant.
    assert_is_object(load(tmp_path, palette(~drawn(), WHITE, BLACK, (1, 2, 3)), values=255))


def test_the_border_of_pascal_voc_belongs_to_neither_side(tmp_path: Path) -> None:
    stored = drawn() * 15
    stored[8:12] = 255
    colours = [(i, i, i) for i in range(256)]
    colours[0], colours[1], colours[15] = BLACK, (128, 0, 0), (192, 128, 128)
    colours[255] = (224, 224, 192)
    for options in ({}, {"values": 15}):
        loaded = load(tmp_path, palette(stored, *colours), **options)
        assert_is_object(loaded)
        assert loaded.foreground is not None
        assert np.array_equal(loaded.foreground == IGNORED, stored == 255)
        assert loaded.notes == ("MASK_BORDER_IGNORED",)
    # Another palette's 255 is an object like any other.
    colours[255] = (255, 0, 0)
    other = load(tmp_path, palette(stored, *colours)).foreground
    assert other is not None
    assert np.array_equal(other == FOREGROUND, stored > 0)


def test_a_trimap_is_named_until_its_values_are(tmp_path: Path) -> None:
    trimap = np.where(drawn(), 1, 2).astype(np.uint8)
    trimap[30:33] = 3
    image = Image.fromarray(trimap)
    problem = load(tmp_path, image).foreground_problem
    assert problem.startswith("MASK_WITHOUT_BACKGROUND")
    assert "1, 2, 3" in problem
    loaded = load(tmp_path, image, values=1, ignore=3)
    assert_is_object(loaded)
    assert loaded.foreground is not None
    assert np.array_equal(loaded.foreground == IGNORED, trimap == 3)


def overlap(loaded: LoadedSample, truth: np.ndarray) -> float:
    assert loaded.foreground is not None, loaded.foreground_problem
    found = loaded.foreground == FOREGROUND
    return float((found & truth).sum() / (found | truth).sum())


@pytest.mark.parametrize("quality", [95, 75, 50])
@pytest.mark.parametrize("options", [{}, {"values": 255}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_halo_of_a_jpeg_is_no_object(
    tmp_path: Path, quality: int, options: dict[str, int], mode: str
) -> None:
    white_on_black().convert(mode).save(tmp_path / "mask.jpg", quality=quality)
    loaded = load(tmp_path, tmp_path / "mask.jpg", **options)
    assert overlap(loaded, drawn()) > 0.98
    assert loaded.notes == ("MASK_THRESHOLDED",)


@pytest.mark.parametrize("smaller", [2, 3])
def test_soft_edges_are_cut_at_half(tmp_path: Path, smaller: int) -> None:
    size, bilinear = (48 // smaller, 48 // smaller), Image.Resampling.BILINEAR
    soft = white_on_black().resize(size, bilinear).resize((48, 48), bilinear)
    loaded = load(tmp_path, soft)
    assert overlap(loaded, drawn()) > 0.9
    assert loaded.foreground is not None
    assert abs((loaded.foreground == FOREGROUND).mean() / drawn().mean() - 1) < 0.05
    assert loaded.notes == ("MASK_THRESHOLDED",)
    transparent = Image.new("RGB", (48, 48), WHITE)
    transparent.putalpha(soft)
    again = load(tmp_path, transparent)
    assert again.foreground is not None
    assert np.array_equal(again.foreground, loaded.foreground)


def test_a_threshold_can_be_a_share_or_a_grey_value(tmp_path: Path) -> None:
    ramp = Image.fromarray(np.tile(np.linspace(0, 250, 48).astype(np.uint8), (48, 1)))
    assert load(tmp_path, ramp).foreground_problem.startswith("MASK_LIKE_A_PHOTOGRAPH")
    for threshold in (0.8, 200):
        found = load(tmp_path, ramp, threshold=threshold).foreground
        assert found is not None
        assert np.array_equal(found == FOREGROUND, np.asarray(ramp) >= 200)


@pytest.mark.parametrize("labels", [(15, 255), (1, 2, 3), (40, 90, 160, 220, 255), (128,)])
def test_labels_are_never_cut(tmp_path: Path, labels: tuple[int, ...]) -> None:
    stored = np.zeros((48, 48), np.uint8)
    for index, label in enumerate(labels):
        stored[4 + 8 * index : 11 + 8 * index, 5:30] = label
    loaded = load(tmp_path, Image.fromarray(stored))
    assert overlap(loaded, stored > 0) == 1
    assert loaded.notes == (("MASK_MANY_VALUES",) if len(labels) > 1 else ())


def test_masks_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(b"no image")
    problem = load(tmp_path, tmp_path / "mask.png").foreground_problem
    assert problem.startswith("MASK_NOT_AN_ALLOWED_IMAGE")
    pixels = np.zeros((48, 48), np.float32)
    pixels[3, 3] = np.nan
    Image.fromarray(pixels).save(tmp_path / "mask.tiff")
    problem = load(tmp_path, tmp_path / "mask.tiff").foreground_problem
    assert problem.startswith("MASK_NON_FINITE_PIXELS")

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from audit.report.overlays import (
    colour_map,
    legend,
    mean_map,
    normalise,
    outline,
    overlay,
    to_png,
)
from audit.report.side_by_side import Tile, page, strip

BLACK, WHITE, GREY = [0, 0, 0], [255, 255, 255], [100, 100, 100]


def mask(*lines: str) -> np.ndarray:
    return np.array([[c == "F" for c in line] for line in lines])


def flat(height: int, width: int, level: int = 100) -> np.ndarray:
    return np.full((height, width, 3), level, dtype=np.uint8)


def test_a_strip_shows_every_picture_as_it_is_below_its_name() -> None:
    random = np.random.default_rng(0)
    tiles = [Tile(f"{k}", random.integers(0, 256, (56, 56, 3), dtype=np.uint8)) for k in range(3)]
    drawn = strip(tiles)
    assert drawn.shape == (24 + 224, 3 * 224 + 2 * 8, 3)
    for place, tile in enumerate(tiles):
        left = place * 232
        assert (drawn[24::4, left : left + 224 : 4] == tile.pixels).all()
        assert (drawn[:24, left : left + 224] < 255).any()


def test_a_page_of_pictures_escapes_what_it_is_given() -> None:
    tile = Tile("<b>", np.zeros((8, 8, 3), np.uint8), "a < b")
    text = page("<script>", ["& more"], [tile])
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "&amp; more" in text
    assert "a &lt; b" in text


def test_outline_is_white_inside_and_black_outside():
    object_mask = mask(".......", ".......", "..FFF..", "..FFF..", "..FFF..", ".......", ".......")
    drawn = outline(flat(7, 7), object_mask)
    expected = [
        ".......",
        "..###..",
        ".#ooo#.",
        ".#o.o#.",
        ".#ooo#.",
        "..###..",
        ".......",
    ]
    colours = {".": GREY, "#": BLACK, "o": WHITE}
    assert drawn.tolist() == [[colours[c] for c in line] for line in expected]


def test_outline_leaves_its_input_and_draws_nothing_where_there_is_no_edge():
    image = flat(4, 4)
    for object_mask in (np.zeros((4, 4), bool), np.ones((4, 4), bool)):
        assert outline(image, object_mask).tolist() == image.tolist()
    outline(image, mask("F...", "....", "....", "...."))
    assert (image == 100).all()


def test_outline_runs_off_the_picture_without_a_line():
    drawn = outline(flat(3, 3), mask("FF.", "FF.", "FF."))
    assert drawn[0].tolist() == [GREY, WHITE, BLACK]


def test_overlay_is_brightest_where_the_map_is():
    saliency = np.zeros((8, 8))
    saliency[2:4, 2:4] = 1.0
    drawn = overlay(flat(8, 8), saliency)
    ground, top = 0.55 * 100 + 0.45 * np.array([0, 0, 4]), np.array([252, 255, 164])
    assert drawn[0, 0].tolist() == np.rint(ground).astype(int).tolist()
    assert drawn[2, 2].tolist() == np.rint(0.15 * 100 + 0.85 * top).astype(int).tolist()


@pytest.mark.parametrize("blank", [0.0, np.nan])
def test_overlay_of_a_blank_map_claims_nothing(blank):
    image = flat(4, 4, 80)
    assert overlay(image, np.full((4, 4), blank)).tolist() == image.tolist()


def test_overlay_draws_the_object_when_it_is_known():
    object_mask = mask("....", ".FF.", ".FF.", "....")
    drawn = overlay(flat(4, 4), np.zeros((4, 4)), object_mask)
    assert drawn[1, 1].tolist() == WHITE
    assert drawn[0, 1].tolist() == BLACK


def test_one_hot_pixel_does_not_hide_the_rest():
    saliency = np.ones((40, 40))
    saliency[0, 0] = 1e6
    assert normalise(saliency).min() == 1.0


def test_a_map_of_one_pixel_is_not_lost():
    saliency = np.zeros((40, 40))
    saliency[3, 4] = 1e-9
    assert normalise(saliency)[3, 4] == 1.0


def test_colour_map_gains_light_at_every_step():
    colours = colour_map(np.linspace(0, 1, 64)).astype(float)
    light = colours @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(light) > 0).all()


def test_mean_map_weighs_every_map_alike():
    one, other = np.zeros((2, 2)), np.zeros((2, 2))
    one[0, 0], other[1, 1] = 1.0, 1000.0
    drawn = mean_map(iter([one, other]))
    assert drawn[0, 0].tolist() == drawn[1, 1].tolist() == [252, 255, 164]
    assert drawn[0, 1].tolist() == [0, 0, 4]
    with pytest.raises(ValueError, match="no"):
        mean_map([])


def test_png_comes_back_as_it_was():
    for pixels in (legend(16, 2), legend(16, 2)[..., 0]):
        read = np.asarray(Image.open(io.BytesIO(to_png(pixels))))
        assert read.tolist() == pixels.tolist()
    with pytest.raises(ValueError, match="uint8"):
        to_png(np.zeros((2, 2, 3)))  # type: ignore[arg-type]

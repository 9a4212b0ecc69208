"""One image explained by several methods: a strip of pictures, or a page of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jinja2 import Environment, StrictUndefined
from PIL import Image, ImageDraw, ImageFont

import report_templates
from audit.report.overlays import Pixels, to_png

_GAP = 8
_COLUMNS = 5
_NAME = 24
"""Height of the line above a picture."""
_FONT = ImageFont.load_default(size=14)
_SMALLEST = 224
"""Side from which a picture is drawn as it is; smaller ones are enlarged to it."""


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture and what stands beside it.

    Parameters
    ----------
    name : str
        Of the method, or what else the picture is.
    pixels : uint8 (H, W, 3)
        All of a strip have the same size.
    caption : str
        A sentence.
    """

    name: str
    pixels: Pixels
    caption: str = ""

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return f"data:image/png;base64,{base64.b64encode(to_png(self.pixels)).decode()}"


def strip(tiles: Sequence[Tile]) -> Pixels:
    """Pictures beside each other, each below its name; six and more in several rows.

    Returns
    -------
    uint8 (H, W, 3)
        On white.
    """
    height, width = tiles[0].pixels.shape[:2]
    times = max(1, -(-_SMALLEST // min(height, width)))
    wide, high = times * width, times * height + _NAME
    columns = min(len(tiles), _COLUMNS)
    rows = -(-len(tiles) // columns)
    size = (columns * (wide + _GAP) - _GAP, rows * (high + _GAP) - _GAP)
    drawn = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(drawn)
    for position, tile in enumerate(tiles):
        row, column = divmod(position, columns)
        left, top = column * (wide + _GAP), row * (high + _GAP)
        picture = Image.fromarray(tile.pixels)
        drawn.paste(
            picture.resize((wide, high - _NAME), Image.Resampling.NEAREST), (left, top + _NAME)
        )
        pen.text((left, top + 3), _fitting(tile.name, wide), "black", _FONT)
    return np.asarray(drawn)


def _fitting(name: str, width: int) -> str:
    """A name that stays above its own picture; of a long one the end, where functions differ."""
    while _FONT.getlength(name) > width:
        name = f"...{name.removeprefix('...')[1:]}"
    return name


def page(title: str, lines: Sequence[str], tiles: Sequence[Tile]) -> str:
    """An HTML page in one file, without a script.

    Parameters
    ----------
    title : str
        What is explained.
    lines : sequence of str
        Paragraphs above the pictures.
    tiles : sequence of Tile
        The pictures.
    """
    environment = Environment(
        loader=report_templates.loader(), autoescape=True, undefined=StrictUndefined
    )
    template = environment.get_template("explain.html.j2")
    return template.render(title=title, lines=lines, tiles=tiles)

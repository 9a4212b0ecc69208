"""Contact sheets of 24 photographs and what methods mark on them, to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from audit.models import AuditedModel
from audit.report.overlays import overlay
from audit.saliency import METHODS
from audit.saliency.layers import find_layer
from benchmarks.photographs.natural import Photographs

COUNT = 24


def draw_methods(shown: Photographs, maps: Mapping[str, Tensor], path: Path) -> None:
    """Each photograph in a row of its own, with the maps of methods; their names in the first."""
    _save(shown, list(maps.values()), 1, path)
    with Image.open(path) as drawn:
        side = drawn.width // (1 + len(maps))
        pen = ImageDraw.Draw(drawn)
        for column, name in enumerate(maps, start=1):
            pen.text((column * side + 3, 3), name, "white", stroke_width=1, stroke_fill="black")
        drawn.save(path)


def draw_layers(
    model: AuditedModel, shown: Photographs, rules: Mapping[str, int], path: Path
) -> None:
    """Each photograph with Grad-CAM at the layer of the rule before, and at today's."""
    images, labels, maps = shown.images[:COUNT] / 255, shown.labels[:COUNT], []
    for rule in ("before", "now"):
        layer = find_layer(model, images[:1], None, smallest=rules[rule]).name
        found, _ = METHODS["gradcam"](model, images, labels, seeds=[0] * len(images), layer=layer)
        maps.append(found)
    _save(shown, maps, 4, path)


def _save(shown: Photographs, maps: Sequence[Tensor], across: int, path: Path) -> None:
    """So many photographs side by side, each with its maps over it, at half their size."""
    pictures: list[NDArray[np.uint8]] = list(shown.images[:COUNT].permute(0, 2, 3, 1).numpy())
    columns = [
        pictures,
        *(
            [overlay(picture, one.numpy()) for picture, one in zip(pictures, of_all, strict=True)]
            for of_all in maps
        ),
    ]
    tiles = [np.concatenate(row, 1) for row in zip(*columns, strict=True)]
    rows = [np.concatenate(tiles[at : at + across], 1) for at in range(0, len(tiles), across)]
    Image.fromarray(np.concatenate(rows, 0)).reduce(2).save(path)

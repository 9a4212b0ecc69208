"""Photographs as they are, with boxes or masks, brought to a model's input."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from audit.geometry import Geometry


class Photographs(NamedTuple):
    """Pictures with what is object in them."""

    images: Tensor
    """uint8 (N, 3, side, side)"""
    foreground: Tensor
    """bool (N, side, side)"""
    ignored: Tensor
    """bool (N, side, side)"""
    labels: Tensor
    """int64 (N,)"""


def dogs(folder: Path, each: int, side: int) -> Photographs:
    """The first `each` pictures of a class in the order of the index."""
    taken: dict[int, int] = {}
    rows = []
    with (folder / "index.csv").open(newline="") as opened:
        for row in csv.DictReader(opened):
            label = int(row["imagenet_index"])
            taken[label] = taken.get(label, 0) + 1
            if taken[label] <= each:
                image = Image.open(folder / row["path"]).convert("RGB")
                mask = Image.new("L", image.size)
                for box in json.loads(row["boxes_xyxy"]):
                    ImageDraw.Draw(mask).rectangle(box, fill=255)
                rows.append((image, mask, label))
    return prepared(rows, Geometry(side, round(side * 256 / 224), interpolation="bicubic"))


def objects(folder: Path, side: int) -> Photographs:
    """All pictures that have a mask, squeezed into a square so that no object is cut off."""
    rows = []
    for label, place in enumerate(sorted((folder / "photographs").iterdir())):
        for path in sorted(place.glob("*.jpg")):
            mask = Image.open(folder / "masks" / place.name / f"{path.stem}.png").convert("L")
            rows.append((Image.open(path).convert("RGB"), mask, label))
    return prepared(rows, Geometry(side, crop="none", interpolation="bicubic"))


def prepared(
    rows: Sequence[tuple[Image.Image, Image.Image, int]], geometry: Geometry
) -> Photographs:
    """Bring pictures and masks to the input's size by the audit's own geometry."""
    images = np.stack([np.asarray(geometry.apply(image)) for image, _, _ in rows])
    masks = np.stack([np.asarray(geometry.apply(mask, is_mask=True)) for _, mask, _ in rows])
    return Photographs(
        torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(masks > 191),
        torch.from_numpy((masks > 63) & (masks <= 191)),
        torch.tensor([label for _, _, label in rows]),
    )

"""What is timed: networks with random weights, painted pictures, and the parts of a run."""

from __future__ import annotations

import itertools
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from audit.dataset.sample_table import samples_table
from audit.dataset.samples import Sample
from audit.measuring.parts import Part
from audit.run_folder import RunFolder

SHARD = 1024
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
BOX = (0.25, 0.25, 0.75, 0.75)
"""The foreground of every image, in shares of its sides: what it is costs nothing."""


class Tiny(nn.Sequential):
    """Three convolutions: a network that costs less than a file."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 16, 3, 2), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)),
        )


@lru_cache(maxsize=1)
def network(name: str) -> tuple[nn.Module, int]:
    """A network with random weights, and the side of its input."""
    import torchvision

    torch.manual_seed(0)
    if name == "tiny":
        return Tiny(), 32
    module = torchvision.models.get_model(name, weights=None)
    if hasattr(module, "heads"):
        # An untrained ViT's last layer is zero, and so would be all its maps.
        nn.init.normal_(module.heads.head.weight, std=0.02)
    return module, 224


def paint(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Write JPEGs of smooth noise, as large as photographs are."""
    random = np.random.default_rng(0)
    for index in range(count):
        coarse = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        picture.save(folder / f"{index:06}.jpg", quality=90)


def pictures(folder: Path, count: int) -> list[str]:
    """The first `count` pictures below a folder; again from the first where it has fewer."""
    found = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return list(itertools.islice(itertools.cycle(found), count))


def samples_of(paths: list[str]) -> pd.DataFrame:
    """Two classes by turns, so that each can lend the other its backgrounds."""
    samples = (
        Sample(f"{index:07} {path}", Path(path), f"class {index % 2}", boxes=(_box(path),))
        for index, path in enumerate(paths)
    )
    return samples_table(samples, (index % 2 for index in range(len(paths))))


def part_of(run: RunFolder, table: pd.DataFrame, shard: int, size: int) -> Part:
    """Some rows of a table as a shard, and where its scores go."""
    first = shard * size
    return Part(run.part(shard), "", shard, first, table.iloc[first : first + size])


def _box(path: str) -> tuple[float, float, float, float]:
    with Image.open(path) as opened:
        width, height = opened.size
    return BOX[0] * width, BOX[1] * height, BOX[2] * width, BOX[3] * height

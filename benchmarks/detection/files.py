"""A world as ordinary files: images, masks of three qualities, a trained network, the truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from audit.interventions import dilate
from audit.writing import write_bytes, write_json
from benchmarks.detection.lessons import MEAN, STD
from benchmarks.detection.networks import TRUNK, train
from benchmarks.detection.pictures import paint
from benchmarks.detection.truth import EACH, judge, measure
from benchmarks.detection.worlds import World, make_world

SIZES = (10, 20, 50)
DILATION = 1 / 20
"""Share of the side by which a generous annotator draws too large."""


def prepare(folder: Path, seed: int, architecture: str, *, clean: bool) -> dict[str, Any]:
    """Paint a world, train a network on it and measure the truth, unless that was done.

    Returns
    -------
    dict
        What ``world.json`` holds: seed, architecture, cues, and the truth of each class.
    """
    done = folder / "world.json"
    if done.exists():
        held: dict[str, Any] = json.loads(done.read_text())
        return held
    world = make_world(seed, clean=clean, side=side_of(architecture))
    network = _trained(world, architecture)
    # A large network pays for every picture.
    each = EACH // 2 if architecture == TRUNK else EACH
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {k: v.contiguous() for k, v in network.state_dict().items()}, folder / "model.safetensors"
    )
    write_images(world, folder)
    write_bytes(folder / "classes.txt", ("\n".join(world.names) + "\n").encode())
    found = {
        "seed": seed,
        "architecture": architecture,
        "clean": clean,
        "classes": [
            row | {"name": name, "cue": vars(world.cues[name]) if name in world.cues else None}
            for name, row in zip(world.names, judge(measure(world, network, each)), strict=True)
        ],
    }
    write_json(done, found)
    return found


def side_of(architecture: str) -> int:
    """Pixels of the pictures that a network sees."""
    return 128 if architecture == TRUNK else 64


def _trained(world: World, architecture: str) -> nn.Module:
    if architecture == TRUNK:
        from benchmarks.detection.trunk import train_head

        return train_head(world)
    return train(world, architecture)


def write_images(world: World, folder: Path, sizes: Sequence[int] = SIZES) -> None:
    """Write the audited images, and their masks as an exact, a hasty and a generous hand draws."""
    images = max(sizes)
    for label, name in enumerate(world.names):
        random = np.random.default_rng([world.seed, 3, label])
        painted = paint(world, [name] * images, [name] * images, world.seed * 10 + 3, random)
        masks = {
            "exact": painted.masks,
            "box": np.stack([_box(mask) for mask in painted.masks]),
            "dilated": dilate(
                torch.from_numpy(painted.masks), round(world.side * DILATION)
            ).numpy(),
        }
        for index, image in enumerate(painted.images):
            for size in (s for s in sizes if index < s):
                _save(image, folder / f"images-{size}" / name / f"{index:03d}.png")
            for quality, held in masks.items():
                pixels = np.where(held[index], np.uint8(255), np.uint8(0))
                _save(pixels, folder / f"masks-{quality}" / name / f"{index:03d}.png")


def _box(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = np.zeros_like(mask)
    box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return box


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def manifest(folder: Path, architecture: str, size: int, quality: str, **changed: Any) -> Path:
    """Write the manifest of one audit of the world and return its path."""
    content: dict[str, Any] = {
        "version": 1,
        "name": f"{folder.name}-{size}-{quality}",
        "dataset": {"reader": "image_folder", "root": f"images-{size}"},
        "foreground": {"source": "mask_file", "root": f"masks-{quality}"},
        "model": {
            "loader": "benchmarks.detection.networks:load",
            "weights": "model.safetensors",
            "architecture": architecture,
            "classes": "classes.txt",
            "input": {
                "size": side_of(architecture),
                "crop": "none",
                "mean": list(MEAN),
                "std": list(STD),
            },
        },
        "cmv": {"classes": "none"},
        "verdict": {"minimum_images": min(size, 20)},
        "report": {"formats": []},
        "run": {"workers": 1},
        **changed,
    }
    path = folder / f"{size}-{quality}.yaml"
    write_bytes(path, yaml.safe_dump(content, sort_keys=False).encode())
    return path

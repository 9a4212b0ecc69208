"""A world as ordinary files: pictures, masks by every hand, a trained network, the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from audit.writing import write_bytes, write_json
from benchmarks.photographs.estimating import estimated
from benchmarks.photographs.hands import ESTIMATED, HANDS
from benchmarks.photographs.networks import train
from benchmarks.photographs.trunks import NORMALISED
from benchmarks.photographs.truth import measure
from benchmarks.photographs.worlds import SIDE, World, compose

SIZES = (20, 30, 50)


def prepare(folder: Path, world: World, weights: Path) -> dict[str, Any]:
    """Compose a world, train a network on it and measure the truth, unless that was done.

    Returns
    -------
    dict
        What ``world.json`` holds: seed, trunk, tail, cues, and the truth of each class.
    """
    done = folder / "world.json"
    if done.exists():
        held: dict[str, Any] = json.loads(done.read_text())
        return held
    network = train(world, weights)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    for label, name in enumerate(world.names):
        pictures, masks = compose(world, label, "audit", max(SIZES))
        for size in SIZES:
            _save(folder / f"images-{size}" / name, pictures[:size])
        for hand, drawn in HANDS.items():
            random = np.random.default_rng([world.seed, label, 13])
            _save(folder / f"masks-{hand}" / name, drawn(masks, random))
    write_bytes(folder / "classes.txt", ("\n".join(world.names) + "\n").encode())
    cues = {name: vars(cue) for name, cue in world.cues.items()}
    found = {
        "seed": world.seed,
        "trunk": world.trunk,
        "tail": world.tail,
        "clean": not world.cues,
        "classes": [
            row | {"name": name, "cue": cues.get(name)}
            for name, row in zip(world.names, measure(world, network), strict=True)
        ],
    }
    write_json(done, found)
    return found


def _save(folder: Path, pictures: NDArray[Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures):
        pixels = np.where(picture, 255, 0).astype(np.uint8) if picture.ndim == 2 else picture
        Image.fromarray(pixels).save(folder / f"{index:03d}.png")


def estimate_masks(folder: Path, size: int) -> None:
    """Write the masks of a network for the pictures of one size, where they are missing."""
    for place in sorted((folder / f"images-{size}").iterdir()):
        target = folder / f"masks-{ESTIMATED}" / place.name
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(place.glob("*.png")):
            if not (target / path.name).exists():
                with Image.open(path) as image:
                    mask = estimated(np.asarray(image.convert("RGB"))[None])[0]
                Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(target / path.name)


def manifest(folder: Path, world: dict[str, Any], size: int, hand: str) -> Path:
    """Write the manifest of one audit of the world and return its path."""
    mean, std = NORMALISED[world["trunk"]]
    content: dict[str, Any] = {
        "version": 1,
        "name": f"{folder.name}-{size}-{hand}",
        "dataset": {"reader": "image_folder", "root": f"images-{size}"},
        "foreground": {"source": "mask_file", "root": f"masks-{hand}"},
        "model": {
            "loader": "benchmarks.photographs.networks:load",
            "weights": "model.safetensors",
            "trunk": world["trunk"],
            "class_count": len(world["classes"]),
            "classes": "classes.txt",
            "input": {"size": SIDE, "crop": "none", "mean": list(mean), "std": list(std)},
        },
        "interventions": {"extra": []},
        "cmv": {"classes": "none"},
        "verdict": {"minimum_images": min(size, 20)},
        "report": {"formats": []},
        "run": {"workers": 1},
    }
    path = folder / f"{size}-{hand}.yaml"
    write_bytes(path, yaml.safe_dump(content, sort_keys=False).encode())
    return path

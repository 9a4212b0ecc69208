"""The embedded demo: a dataset with planted shortcuts, a classifier, and the truth about it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from safetensors.torch import save_file

from audit.writing import write_bytes, write_json
from flows.demo.compose import CUTOUTS, KINDS, SIDE, compose, scene_for
from flows.demo.network import INPUT_SIDE
from flows.demo.scenes import paint
from flows.demo.training import MEAN, STD, measure_truth, train

CORRELATION = 0.97
PER_CLASS = 40

_README = """\
Twelve classes of animals, painted. Huskies almost always stand in snow and wolves in the forest;
all other animals stand anywhere. A small network was trained on pictures like these. truth.json
says what each class loses when its scene is taken away: measured on the network by painting new
pictures, without this tool. The animals are Fluent Emoji by Microsoft (see LICENSE-emoji.txt).
"""


def make_demo(
    out: Path, seed: int = 0, *, planted: bool = True, per_class: int = PER_CLASS
) -> Path:
    """Write the demo as ordinary files.

    Parameters
    ----------
    out : Path
        Folder; made where it is missing.
    seed : int
        Of the pictures and the training; the same seed gives the same pictures.
    planted : bool
        False: husky and wolf stand anywhere too, and the network learns no shortcut.
    per_class : int
        Audited images of each class.

    Returns
    -------
    Path
        The manifest that audits it.
    """
    out.mkdir(parents=True, exist_ok=True)
    correlation = CORRELATION if planted else 0.0
    _write_images(out, seed, correlation, per_class)
    network = train(seed, correlation)
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, out / "model.safetensors", metadata={"classes": json.dumps(list(KINDS))})
    write_bytes(out / "classes.txt", ("\n".join(KINDS) + "\n").encode())
    write_bytes(out / "README.txt", _README.encode())
    shutil.copyfile(CUTOUTS / "LICENSE", out / "LICENSE-emoji.txt")
    manifest = out / "data_manifest.yaml"
    write_bytes(manifest, manifest_text().encode())
    # Last, so that its presence means that the demo is whole.
    write_json(out / "truth.json", {"classes": measure_truth(network, seed, correlation)})
    return manifest


def _write_images(out: Path, seed: int, correlation: float, per_class: int) -> None:
    for label, (name, kind) in enumerate(KINDS.items()):
        random = np.random.default_rng([seed, 3, label])
        for kind_of_file in ("images", "masks"):
            (out / kind_of_file / name).mkdir(parents=True, exist_ok=True)
        for index in range(per_class):
            picture = paint(scene_for(kind, random, correlation), random, SIDE)
            image, mask = compose(kind, picture, random)
            Image.fromarray(image).save(out / "images" / name / f"{index:03d}.jpg", quality=92)
            Image.fromarray(mask).save(out / "masks" / name / f"{index:03d}.png")


def manifest_text() -> str:
    """The manifest of the demo."""
    content = {
        "version": 1,
        "name": "wolves-and-huskies",
        "dataset": {"reader": "image_folder", "root": "images"},
        "foreground": {"source": "mask_file", "root": "masks"},
        "model": {
            "loader": "flows.demo.network:load",
            "weights": "model.safetensors",
            "classes": "classes.txt",
            "input": {
                "size": INPUT_SIDE,
                "crop": "none",
                "mean": list(MEAN),
                "std": list(STD),
            },
        },
        "report": {"title": "Wolves and huskies: is it the animal or the snow?"},
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None)

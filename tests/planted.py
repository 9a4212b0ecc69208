"""Data and a classifier whose truth is known by construction: nothing is trained.

Every class is an object of one colour on a scene of one colour. The classifier measures how much
of each colour an image holds, and adds up: for an honest class it counts its object's colour, for
a planted class the colour of the class's own scene. So exactly the planted classes lean on their
background, whatever any tool says.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

SIDE = 32
CLASSES = ("ant", "bee", "cat", "dog", "elk", "fox")

OBJECTS = np.array(
    [[230, 30, 30], [30, 200, 30], [40, 60, 230], [230, 220, 30], [220, 40, 220], [30, 220, 220]]
)
SCENES = np.array(
    [[90, 60, 30], [60, 90, 60], [60, 60, 100], [110, 110, 60], [100, 60, 100], [140, 140, 140]]
)


class ColourCounter(nn.Module):
    """A 1x1-convolution network with hand-set weights.

    Parameters
    ----------
    planted : sequence of int
        Classes that count their scene instead of their object.
    robbed : (victim, thief) or ()
        The thief counts its scene beside its object, and the victim's object weighs so little
        that the thief's scene alone takes its votes; nobody else notices.
    """

    def __init__(self, planted: Sequence[int] = (), robbed: Sequence[int] = ()) -> None:
        super().__init__()
        colours = np.concatenate([OBJECTS, SCENES]).astype(np.float32) / 255
        count = len(colours)
        # relu(0.02 - |x - c|^2) needs a square; |x|^2 is the same for all and comes as a channel.
        self.register_buffer("colours", torch.from_numpy(colours))
        self.match = nn.Conv2d(4, count, 1)
        self.match.weight.data = torch.cat(
            [2 * torch.from_numpy(colours), -torch.ones(count, 1)], 1
        ).view(count, 4, 1, 1)
        self.match.bias.data = 0.02 - torch.from_numpy((colours**2).sum(1))
        self.activation = nn.ReLU()
        self.head = nn.Linear(count, len(CLASSES), bias=False)
        weights = torch.zeros(len(CLASSES), count)
        for label in range(len(CLASSES)):
            if label in planted:
                weights[label, len(CLASSES) + label] = 280.0
                weights[label, label] = 50.0
            else:
                weights[label, label] = 5000.0
        if robbed:
            victim, thief = robbed
            weights[victim, victim] = 1200.0
            weights[thief, len(CLASSES) + thief] = 280.0
        self.head.weight.data = weights

    def forward(self, images: Tensor) -> Tensor:
        """Class scores ``(N, 6)`` of images ``(N, 3, H, W)`` in 0..1."""
        square = (images**2).sum(1, keepdim=True)
        found = self.activation(self.match(torch.cat([images, square], 1)))
        scores: Tensor = self.head(found.mean((2, 3)))
        return scores


def paint(random: np.random.Generator, label: int, scene: int) -> tuple[np.ndarray, np.ndarray]:
    """One image uint8 (32, 32, 3) and its mask uint8 (32, 32), 255 on the object."""
    image = np.broadcast_to(SCENES[scene], (SIDE, SIDE, 3)).astype(np.float64).copy()
    side = int(random.integers(10, 15))
    top, left = random.integers(2, SIDE - side - 2, 2)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[top : top + side, left : left + side] = 255
    image[mask > 0] = OBJECTS[label]
    image += random.normal(0, 4, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def write_dataset(
    folder: Path,
    planted: Sequence[int] = (),
    robbed: Sequence[int] = (),
    *,
    per_class: int = 24,
    seed: int = 0,
) -> Path:
    """Write images, masks, a loader module and a manifest; returns the manifest.

    A planted class and a thief stand on their own scene, an honest one on any scene of an honest
    class.
    """
    random = np.random.default_rng(seed)
    alone = {*planted, *robbed[1:]}
    honest = [label for label in range(len(CLASSES)) if label not in alone]
    for label, name in enumerate(CLASSES):
        for kind in ("images", "masks"):
            (folder / kind / name).mkdir(parents=True, exist_ok=True)
        for index in range(per_class):
            scene = label if label in alone else int(random.choice(honest))
            image, mask = paint(random, label, scene)
            Image.fromarray(image).save(folder / "images" / name / f"{index:03d}.png")
            Image.fromarray(mask).save(folder / "masks" / name / f"{index:03d}.png")
    module = f"planted_loader_{'_'.join(map(str, [*planted, 'r', *robbed]))}"
    (folder / f"{module}.py").write_text(
        "from planted import ColourCounter\n\n\n"
        f"def load():\n    return ColourCounter({list(planted)}, {list(robbed)})\n"
    )
    manifest = folder / "data_manifest.yaml"
    manifest.write_text(
        f"""\
version: 1
name: planted colours
dataset: {{reader: image_folder, root: images}}
foreground: {{source: mask_file, root: masks}}
model:
  loader: "{module}:load"
  input: {{size: {SIDE}, crop: none, mean: [0, 0, 0], std: [1, 1, 1]}}
saliency: {{method: gradient}}
interventions: {{fill: smooth}}
cmv: {{classes: none}}
run: {{shard_size: 50}}
report: {{formats: [html]}}
"""
    )
    return manifest


def leaner(manifest: Path) -> Path:
    """The manifest without what costs most and is a truth of other tests.

    Flat scenes need no texture; other outlines, tried maps and further experiments are left out.
    """
    declared = yaml.safe_load(manifest.read_text())
    declared["foreground"] |= {"second_outline": "never"}
    declared["saliency"] |= {"checked": False}
    declared["interventions"] = {"donors": 2, "extra": [], "fill": "smooth"}
    manifest.write_text(yaml.safe_dump(declared))
    return manifest

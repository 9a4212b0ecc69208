"""What the classifiers of the benchmark learn from: pictures of a world, normalised."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.detection.pictures import paint
from benchmarks.detection.worlds import World

MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)


def normalised(pictures: NDArray[np.uint8]) -> Tensor:
    """uint8 (N, S, S, 3) to normalised float32 (N, 3, S, S)."""
    # Contiguous: torch 2.14 on some CPUs ends with a segmentation fault where a residual network
    # is trained on images whose channels lie last in memory.
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous().float() / 255
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def training_set(world: World, per_class: int) -> tuple[NDArray[np.uint8], Tensor]:
    """Pictures in their own surroundings, and their labels."""
    names = world.names * per_class
    random = np.random.default_rng([world.seed, 1])
    painted = paint(world, names, names, world.seed * 10 + 1, random)
    return painted.images, torch.arange(len(world.names)).repeat(per_class)

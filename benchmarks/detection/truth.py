"""What each class truly owes to which surroundings: measured by painting, without the tool."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.detection.lessons import normalised
from benchmarks.detection.pictures import paint
from benchmarks.detection.worlds import World

EACH = 200
"""Pictures behind each accuracy."""
RELIANT = 0.20
"""A class that loses this much accuracy is affected."""
INNOCENT_OWN = 0.05
INNOCENT_MOVED = 0.10
"""A class that loses no more than these is unaffected; between the two nobody is counted."""


def measure(world: World, network: nn.Module, each: int = EACH) -> dict[str, NDArray[np.float64]]:
    """Measure accuracies with the surroundings exchanged by the painter.

    Returns
    -------
    dict
        ``own`` (K,): accuracy in the class's own surroundings; ``bare`` (K,): in nobody's;
        ``moved`` (K, K): of the row's objects in the column's surroundings.
    """
    names = world.names
    own, bare = np.zeros(len(names)), np.zeros(len(names))
    moved = np.zeros((len(names), len(names)))
    for label, name in enumerate(names):
        random = np.random.default_rng([world.seed, 2, label])
        own[label] = _accuracy(world, network, label, name, random, each)
        bare[label] = _accuracy(world, network, label, None, random, each)
        for other, where in enumerate(names):
            planted = where in world.cues
            # Where nothing is planted, every class's surroundings are the same.
            moved[label, other] = (
                own[label]
                if other == label
                else _accuracy(world, network, label, where, random, each)
                if planted
                else np.nan
            )
    return {"own": own, "bare": bare, "moved": moved}


def _accuracy(
    world: World,
    network: nn.Module,
    label: int,
    where: str | None,
    random: np.random.Generator,
    each: int,
) -> float:
    names = [world.names[label]] * each
    painted = paint(world, names, [where] * each, world.seed * 10 + 2, random)
    with torch.no_grad():
        # In parts: a large network on all pictures at once needs gigabytes.
        answers = [
            network(normalised(painted.images[start : start + 50])).argmax(1)
            for start in range(0, each, 50)
        ]
    return float((torch.cat(answers) == label).float().mean())


def judge(truth: dict[str, NDArray[np.float64]]) -> list[dict[str, object]]:
    """One row a class: ``own_drop``, ``moved_drop``, ``attractor`` and what it counts as.

    ``truth`` is ``own`` (leans on its own cue), ``victim`` (another class's cue takes its votes),
    ``innocent`` or ``between``.
    """
    rows = []
    for label in range(len(truth["own"])):
        own_drop = truth["own"][label] - truth["bare"][label]
        # In nobody's surroundings, so that losing its own cue is not counted once more.
        losses = truth["bare"][label] - truth["moved"][label]
        losses[label] = np.nan
        moved_drop = float(np.nanmax(losses)) if np.isfinite(losses).any() else 0.0
        word = "between"
        if own_drop >= RELIANT:
            word = "own"
        elif moved_drop >= RELIANT:
            word = "victim"
        elif own_drop <= INNOCENT_OWN and moved_drop <= INNOCENT_MOVED:
            word = "innocent"
        rows.append(
            {
                "label": label,
                "own_drop": float(own_drop),
                "moved_drop": moved_drop,
                "attractor_label": int(np.nanargmax(losses)) if moved_drop > 0 else -1,
                "accuracy": float(truth["own"][label]),
                "truth": word,
            }
        )
    return rows

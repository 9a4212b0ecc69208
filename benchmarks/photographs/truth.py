"""What each class truly owes to which scene: the same objects are moved, without the tool."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from benchmarks.detection.truth import judge
from benchmarks.photographs.networks import answers
from benchmarks.photographs.worlds import World, moved

EACH = 30
"""Objects of a class, each in every scene."""
RESAMPLES = 200


def measure(world: World, network: nn.Module, each: int = EACH) -> list[dict[str, object]]:
    """One row a class, as :func:`benchmarks.detection.truth.judge` gives it, with standard errors.

    ``own_se`` and ``moved_se`` come from drawing the cut-outs anew, all pictures of one together:
    they are what varies, and a picture of the same cut-out is no new observation.
    """
    right, objects = [], []
    for label in range(len(world.names)):
        pictures, which = moved(world, label, each)
        found = answers(network, pictures.reshape(-1, *pictures.shape[2:]), world.trunk)
        right.append((found == label).reshape(pictures.shape[:2]))
        objects.append(which)
    rows = judge(accuracies(world, [held.mean(0) for held in right]))
    for label, row in enumerate(rows):
        row |= _errors(world, label, right, objects[label], row)
        row |= {"truth_objects": len(np.unique(objects[label])), "truth_each": each}
    return rows


def accuracies(world: World, by_scene: list[NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Accuracies in one's own, nobody's and others' surroundings, mixed as correlations say.

    Parameters
    ----------
    world : World
        Whose scenes are whose.
    by_scene : list of K float (S,)
        Accuracy of each class in each kind of scene.
    """
    names, scenes = world.names, list(world.scenes)
    neutral = [scenes.index(name) for name in world.neutral]
    accuracy = np.stack(by_scene)
    bare = accuracy[:, neutral].mean(1)

    def among(label: int, other: str) -> float:
        cue = world.cues.get(other)
        if cue is None:
            return float(bare[label])
        share = cue.correlation
        return float(share * accuracy[label, scenes.index(cue.scene)] + (1 - share) * bare[label])

    own = np.array([among(label, name) for label, name in enumerate(names)])
    others = np.full((len(names), len(names)), np.nan)
    for label in range(len(names)):
        for other, name in enumerate(names):
            if other == label:
                others[label, other] = own[label]
            elif name in world.cues:
                others[label, other] = among(label, name)
    return {"own": own, "bare": bare, "moved": others}


def _errors(
    world: World,
    label: int,
    right: list[NDArray[np.bool_]],
    objects: NDArray[np.int64],
    row: dict[str, object],
) -> dict[str, object]:
    random = np.random.default_rng([world.seed, label, 11])
    means = np.stack([right[label][objects == one].mean(0) for one in np.unique(objects)])
    attractor = int(str(row["attractor_label"]))
    own, away = [], []
    for _ in range(RESAMPLES):
        by_scene = [held.mean(0) for held in right]
        by_scene[label] = means[random.integers(0, len(means), len(means))].mean(0)
        found = accuracies(world, by_scene)
        own.append(found["own"][label] - found["bare"][label])
        if attractor >= 0:
            away.append(found["bare"][label] - found["moved"][label, attractor])
    return {
        "own_se": float(np.std(own)),
        "moved_se": float(np.std(away)) if away else None,
    }

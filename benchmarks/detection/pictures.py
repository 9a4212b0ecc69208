"""Pictures of a world, with the exact mask of the object, and with any class's surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.scenery import SCENERY, cut
from benchmarks.detection.worlds import Cue, World, sprites


class Painted(NamedTuple):
    """Pictures of one call.

    Parameters
    ----------
    images : uint8 (N, side, side, 3)
        RGB.
    masks : bool (N, side, side)
        The object; companion, tag and scenery are background.
    cues : bool (N, side, side)
        What is planted, as far as no object hides it: companion, tag, or all of a scenery.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    cues: NDArray[np.bool_]


def paint(
    world: World,
    objects: Sequence[str],
    surroundings: Sequence[str | None],
    pool_seed: int,
    random: np.random.Generator,
) -> Painted:
    """Paint one picture for each object.

    Parameters
    ----------
    world : World
        What there is.
    objects : sequence of N str
        The class of each object.
    surroundings : sequence of N (str or None)
        The class whose surroundings it gets: its cue, as often as its correlation says. None:
        nobody's cue at all.
    pool_seed : int
        Of the painted sceneries; training, audit and truth use different ones.
    random : Generator
        Of everything else.
    """
    painted = [
        _one(world, name, where, pool_seed, random)
        for name, where in zip(objects, surroundings, strict=True)
    ]
    return Painted(*(np.stack(held) for held in zip(*painted, strict=True)))


def _one(
    world: World, name: str, where: str | None, pool_seed: int, random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
    side = world.side
    cue = world.cues.get(where) if where is not None else None
    has_cue = cue is not None and random.random() < cue.correlation
    picture = cut(_scenery(world, cue if has_cue else None, where, random), side, pool_seed, random)
    kind = world.kinds[name]
    held = sprites(kind.cutout, side, world.seed)
    sprite = held[int(random.integers(len(held)))]
    size = len(sprite)
    left = int(random.integers(1, side - size - 1))
    top = int(np.clip(random.normal(0.52, 0.08) * side - size / 2, 1, side - size - 2))
    scenery = picture.copy()
    if has_cue and cue is not None and cue.kind == "companion":
        _accompany(picture, cue, world, left + size / 2, random)
    if has_cue and cue is not None and cue.kind == "tag":
        _mark(picture, cue)
    planted = (picture != scenery).any(-1) | (has_cue and cue is not None and cue.kind == "scene")
    light = random.uniform(0.88, 1.08) + random.normal(0, 0.012) * np.array([1, 0, -1])
    colours = np.clip(sprite[..., :3] * np.array(kind.tint) * light, 0, 1)
    alpha = sprite[..., 3:]
    window = picture[top : top + size, left : left + size]
    window[:] = colours * alpha + window * (1 - alpha)
    picture += random.normal(0, 0.01, picture.shape).astype(np.float32)
    mask = np.zeros((side, side), bool)
    mask[top : top + size, left : left + size] = alpha[..., 0] > 0.5
    return (np.clip(picture, 0, 1) * 255).round().astype(np.uint8), mask, planted & ~mask


def _scenery(world: World, cue: Cue | None, where: str | None, random: np.random.Generator) -> str:
    if cue is not None and cue.kind == "scene":
        return cue.what
    names = list(SCENERY)
    if where is None:
        cues = {held.what for held in world.cues.values() if held.kind == "scene"}
        names = [name for name in names if name not in cues]
    return str(random.choice(names))


def _mark(picture: NDArray[np.float32], cue: Cue) -> None:
    """A striped square in a corner, a tenth of the side wide."""
    width = max(5, len(picture) // 10)
    tag = np.ones((width, width, 3), np.float32) * np.array(cue.colour, np.float32)
    tag[1::2] = 1 - tag[1::2]
    rows = slice(1, 1 + width) if "top" in cue.what else slice(-1 - width, -1)
    columns = slice(1, 1 + width) if "left" in cue.what else slice(-1 - width, -1)
    picture[rows, columns] = tag


def _accompany(
    picture: NDArray[np.float32], cue: Cue, world: World, middle: float, random: np.random.Generator
) -> None:
    """A second, smaller object on the side where there is more room."""
    side = len(picture)
    held = sprites(cue.what, side, world.seed)
    sprite = held[int(random.integers(len(held)))][::2, ::2]
    size = len(sprite)
    near = random.integers(0, max(1, side // 16))
    left = int(near if middle > side / 2 else side - size - near)
    top = int(random.integers(side // 2 - size // 2, side - size))
    window = picture[top : top + size, left : left + size]
    window[:] = sprite[..., :3] * sprite[..., 3:] + window * (1 - sprite[..., 3:])

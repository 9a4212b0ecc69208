"""Fourteen kinds of scenery: the demo's landscapes, and surfaces of a colour and a texture."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flows.demo.scenes import SCENES

POOL = 36
"""Pictures painted of each; every use cuts and mirrors one anew."""
MARGIN = 0.25
"""A painted picture is so much larger than what is cut from it."""

Picture = NDArray[np.float32]


def _surface(
    first: tuple[int, int, int],
    second: tuple[int, int, int],
    cells: tuple[int, int],
    contrast: float = 1.0,
) -> Callable[[np.random.Generator, int], Picture]:
    """A painter of noise between two colours; `cells` down and across give it a grain."""

    def paint(random: np.random.Generator, side: int) -> Picture:
        share = np.zeros((side, side), np.float32)
        for octave in range(3):
            down, across = (n * 2**octave for n in cells)
            coarse = random.uniform(-1, 1, (down + 1, across + 1)).astype(np.float32)
            fine = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
            share += np.asarray(fine, np.float32) / 1.6**octave
        share = np.clip(0.5 + 0.45 * contrast * share, 0, 1)[..., None]
        low, high = (np.array(c, np.float32) / 255 for c in (first, second))
        return (low + (high - low) * share).astype(np.float32)

    return paint


def _bricks(random: np.random.Generator, side: int) -> Picture:
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / side
    high = 1 / random.uniform(7, 10)
    course = np.floor(rows / high)
    along = columns / (2.4 * high) + 0.5 * (course % 2)
    joint = (rows / high % 1 < 0.14) | (along % 1 < 0.07)
    shade = random.uniform(0.85, 1.15, 997)[(course * 31 + np.floor(along)).astype(int) % 997]
    brick = np.array([0.64, 0.30, 0.22], np.float32) * shade[..., None]
    return np.where(joint[..., None], np.float32(0.72), brick).astype(np.float32)


def _night(random: np.random.Generator, side: int) -> Picture:
    picture = _surface((8, 10, 32), (30, 34, 72), (2, 2))(random, side)
    lamps = random.random((side, side, 1)) > 0.99
    return np.where(lamps, np.array([1.0, 0.9, 0.6], np.float32), picture).astype(np.float32)


def _stripes(random: np.random.Generator, side: int) -> Picture:
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / side
    angle = random.uniform(-0.2, 0.2)
    wave = np.sin(2 * np.pi * random.uniform(5, 7) * (columns + angle * rows))[..., None]
    light, dark = np.array([0.86, 0.84, 0.5]), np.array([0.42, 0.55, 0.62])
    return np.where(wave > 0, light, dark).astype(np.float32)


SCENERY: Mapping[str, Callable[[np.random.Generator, int], Picture]] = {
    **dict(SCENES.items()),
    "bricks": _bricks,
    "night": _night,
    "stripes": _stripes,
    "gravel": _surface((96, 94, 92), (176, 172, 168), (20, 20), 1.4),
    "wood": _surface((112, 70, 38), (176, 124, 78), (3, 24)),
    "carpet": _surface((120, 28, 48), (168, 60, 84), (12, 12)),
    "concrete": _surface((150, 152, 156), (196, 196, 200), (3, 3), 0.8),
    "kelp": _surface((16, 78, 84), (60, 140, 116), (4, 12)),
}


@functools.cache
def pool(name: str, side: int, seed: int) -> tuple[Picture, ...]:
    """Pictures of one scenery, larger than `side` by :data:`MARGIN`."""
    random = np.random.default_rng([seed, list(SCENERY).index(name), side])
    larger = round(side * (1 + MARGIN))
    made = []
    for _ in range(POOL):
        light = random.uniform(0.9, 1.08) + random.normal(0, 0.015, 3)
        # Landscapes are painted for larger pictures and look wrong when painted small.
        painted = np.clip(SCENERY[name](random, max(larger, 120)) * light, 0, 1)
        image = Image.fromarray((painted * 255).astype(np.uint8))
        small = image.resize((larger, larger), Image.Resampling.BILINEAR)
        made.append(np.asarray(small, np.float32) / 255)
    return tuple(made)


def cut(name: str, side: int, seed: int, random: np.random.Generator) -> Picture:
    """A view ``(side, side, 3)`` of one of the scenery's pictures."""
    held = pool(name, side, seed)
    picture = held[int(random.integers(len(held)))]
    top, left = random.integers(0, len(picture) - side + 1, 2)
    view = picture[top : top + side, left : left + side]
    return (view[:, ::-1] if random.random() < 0.5 else view).copy()

"""Landscapes painted with noise: the backgrounds of the demo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.floating[Any]]
"""RGB ``(side, side, 3)`` in 0..1."""


def _noise(random: np.random.Generator, side: int, cells: tuple[int, int]) -> Picture:
    """Smooth noise ``(side, side, 1)`` in -1..1 of so many cells down and across."""
    coarse = random.uniform(-1, 1, (cells[0] + 1, cells[1] + 1)).astype(np.float32)
    fine = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(fine, np.float32)[..., None]


def _clouds(random: np.random.Generator, side: int, cells: int = 3, octaves: int = 4) -> Picture:
    """Noise of several scales ``(side, side, 1)``, about -1..1."""
    layers = [_noise(random, side, (cells * 2**k, cells * 2**k)) / 1.7**k for k in range(octaves)]
    total: Picture = np.sum(layers, axis=0) / 1.8
    return total


def _rgb(*values: int) -> Picture:
    return np.array(values, np.float32) / 255


def _heights(side: int) -> Picture:
    """0 at the top, 1 at the bottom, ``(side, 1, 1)``."""
    return np.linspace(0, 1, side, dtype=np.float32)[:, None, None]


def _blend(first: Picture, second: Picture, share: Picture) -> Picture:
    return first + (second - first) * np.clip(share, 0, 1)


def _sky(random: np.random.Generator, side: int, top: Picture, low: Picture) -> Picture:
    plain = _blend(top, low, _heights(side) * 1.8) * np.ones((side, side, 1), np.float32)
    return _blend(plain, _rgb(250, 250, 252), 0.7 * (_clouds(random, side, 2) - 0.15))


def _horizon(random: np.random.Generator, side: int, rough: float) -> Picture:
    """A skyline ``(1, side, 1)`` as height 0..1 from the top."""
    line = _noise(random, side, (1, 5))[0][None] * rough
    return np.asarray(random.uniform(0.36, 0.5) + line, np.float32)


def _ground(
    random: np.random.Generator, sky: Picture, ground: Picture, rough: float, soft: float = 60
) -> Picture:
    """Ground below a skyline, sky above."""
    below = (_heights(len(sky)) - _horizon(random, len(sky), rough)) * soft
    return _blend(sky, ground, below)


def _trees(
    random: np.random.Generator, picture: Picture, colour: Picture, count: int, foot: float
) -> Picture:
    """Firs as stacked triangles, from the far ones to the near."""
    side = len(picture)
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / side
    for depth in np.sort(random.uniform(0, 1, count)):
        centre, height = random.uniform(-0.05, 1.05), 0.2 + 0.3 * depth * random.uniform(0.7, 1.3)
        base = foot + 0.12 * depth + random.uniform(-0.03, 0.03)
        inside = (base - rows) / height
        teeth = 0.75 + 0.25 * np.abs(np.sin(inside * 14))
        width = 0.20 * height * 2.2 * (1 - inside) * teeth
        shape = (inside > 0) & (inside < 1) & (np.abs(columns - centre) < width)
        shade = colour * (0.75 + 0.5 * (1 - depth)) * random.uniform(0.85, 1.15)
        lit = shade * (1 + 0.5 * (columns - centre)[..., None] / max(0.05, 0.4 * height))
        picture = np.where(shape[..., None], np.clip(lit, 0, 1), picture)
    return picture.astype(np.float32)


def snow(random: np.random.Generator, side: int) -> Picture:
    """White drifts under a pale sky, a few firs far away."""
    sky = _sky(random, side, _rgb(158, 190, 224), _rgb(226, 236, 246))
    drifts = _noise(random, side, (9, 2)) * 0.5 + _noise(random, side, (4, 3)) * 0.5
    ground = _blend(_rgb(246, 249, 253), _rgb(186, 206, 232), 0.45 + 0.5 * drifts)
    picture = _ground(random, sky, ground, 0.05)
    picture = _trees(random, picture, _rgb(70, 96, 104), int(random.integers(2, 6)), 0.44)
    flakes = random.random((side, side, 1)) > 0.992
    return np.where(flakes, 1.0, picture).astype(np.float32)


def forest(random: np.random.Generator, side: int) -> Picture:
    """Dense firs over a dark mossy floor."""
    haze = _blend(_rgb(52, 84, 58), _rgb(112, 142, 98), _heights(side) * 1.2 + 0.3)
    back = haze * (1 + 0.15 * _clouds(random, side, 4))
    moss = _blend(_rgb(58, 78, 34), _rgb(92, 72, 44), 0.5 + 0.8 * _clouds(random, side, 8))
    picture = _ground(random, back, moss, 0.04, 25)
    return _trees(random, picture, _rgb(30, 66, 38), int(random.integers(14, 22)), 0.58)


def beach(random: np.random.Generator, side: int) -> Picture:
    """Sand before a strip of sea."""
    sky = _sky(random, side, _rgb(92, 168, 226), _rgb(206, 232, 246))
    sea = _rgb(38, 132, 168) * (1 + 0.2 * _noise(random, side, (24, 3)))
    grain = random.normal(0, 0.025, (side, side, 1)).astype(np.float32)
    sand = _rgb(226, 198, 146) * (1 + 0.14 * _clouds(random, side, 4)) + grain
    return _shore(random, sky, sea, sand)


def _shore(random: np.random.Generator, sky: Picture, sea: Picture, sand: Picture) -> Picture:
    line = float(random.uniform(0.3, 0.4))
    picture = _blend(sky, sea, (_heights(len(sky)) - line) * 80)
    shore = line + 0.14 + _noise(random, len(sky), (1, 4))[0][None] * 0.03
    foam = np.exp(-(((_heights(len(sky)) - shore) * 60) ** 2))
    picture = _blend(picture, sand, (_heights(len(sky)) - shore) * 50)
    return _blend(picture, _rgb(250, 252, 252), foam * 0.8)


def lake(random: np.random.Generator, side: int) -> Picture:
    """Rippled water below hills."""
    sky = _sky(random, side, _rgb(126, 176, 216), _rgb(222, 232, 238))
    hills = _rgb(84, 116, 104) * (1 + 0.15 * _clouds(random, side, 5))
    land = _ground(random, sky, hills, 0.12)
    ripples = _noise(random, side, (36, 4)) * 0.6 + _noise(random, side, (14, 2)) * 0.5
    water = _blend(_rgb(36, 92, 132), _rgb(120, 176, 204), 0.4 + 0.4 * ripples)
    return _blend(land, water, (_heights(side) - float(random.uniform(0.48, 0.56))) * 90)


def meadow(random: np.random.Generator, side: int) -> Picture:
    """Grass with flowers under a blue sky."""
    sky = _sky(random, side, _rgb(86, 152, 222), _rgb(196, 224, 244))
    blades = _noise(random, side, (20, 60)) * 0.5 + _clouds(random, side, 4) * 0.5
    grass = _blend(_rgb(86, 148, 50), _rgb(156, 192, 76), 0.5 + 0.6 * blades)
    picture = _ground(random, sky, grass, 0.06)
    spots = random.random((side // 2, side // 2, 1)) > 0.994
    spots = spots.repeat(2, 0).repeat(2, 1) & (_heights(side) > 0.55)
    colour = _rgb(250, 232, 120) if random.random() < 0.5 else _rgb(244, 244, 250)
    return np.where(spots, colour, picture).astype(np.float32)


def dusk(random: np.random.Generator, side: int) -> Picture:
    """Desert hills in the evening."""
    sky = _blend(_rgb(64, 46, 104), _rgb(246, 152, 92), _heights(side) * 2.1)
    sky = sky * (1 + 0.08 * _clouds(random, side, 3))
    far = _rgb(120, 66, 84) * (1 + 0.1 * _clouds(random, side, 5))
    near = _rgb(158, 88, 62) * (1 + 0.18 * _clouds(random, side, 6))
    picture = _ground(random, sky, far, 0.12)
    low = 0.58 + _noise(random, side, (1, 3))[0][None] * 0.05
    return _blend(picture, near, (_heights(side) - low) * 50)


SCENES: Mapping[str, Callable[[np.random.Generator, int], Picture]] = {
    "snow": snow,
    "forest": forest,
    "beach": beach,
    "lake": lake,
    "meadow": meadow,
    "dusk": dusk,
}


def paint(name: str, random: np.random.Generator, side: int) -> Picture:
    """Paint one scene, with a light of its own.

    Parameters
    ----------
    name : str
        Key of :data:`SCENES`.
    random : Generator
        Everything that varies.
    side : int
        Pixels.
    """
    light = random.uniform(0.9, 1.08) + random.normal(0, 0.015, 3)
    picture = SCENES[name](random, side) * light.astype(np.float32)
    return np.clip(picture, 0, 1).astype(np.float32)

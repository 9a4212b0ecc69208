"""A world: classes, the cues planted on some of them, and the pictures it can paint."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.detection.scenery import SCENERY
from flows.demo.compose import CUTOUTS

CUTOUT_NAMES = (
    "bear",
    "duck",
    "elephant",
    "fox",
    "frog",
    "owl",
    "panda",
    "penguin",
    "pig_face",
    "turtle",
    "wolf",
)
CLASSES = 12
PAIRS = 3
"""Look-alikes: one cut-out in two tints, near enough that scenery can be easier to learn."""
PLANTED = (2, 5)
"""Fewest and most planted classes of a world that is not clean."""
CORRELATIONS = (0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
KINDS_OF_CUE = ("scene", "scene", "tag", "companion")
SPRITES = 24
"""Turned and scaled copies of each cut-out that pictures are composed from."""


@dataclass(frozen=True)
class Cue:
    """What is planted on a class.

    Parameters
    ----------
    kind : {'scene', 'tag', 'companion'}
        The scenery itself, a mark in a corner, or a second object beside the first.
    what : str
        Scenery, corner or cut-out.
    correlation : float
        Share of the class's pictures that have it.
    colour : (red, green, blue)
        Of a tag.
    """

    kind: str
    what: str
    correlation: float
    colour: tuple[float, float, float] = (1.0, 0.0, 0.0)


@dataclass(frozen=True)
class Kind:
    """A class: a cut-out in a tint."""

    cutout: str
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class World:
    """Everything that a seed decides before any picture is painted.

    Parameters
    ----------
    seed : int
        Of the world, its pictures and its network.
    side : int
        Pixels of its pictures.
    kinds : mapping of class name to Kind
        In the order of the outputs.
    cues : mapping of class name to Cue
        The planted classes; empty in a clean world.
    """

    seed: int
    side: int
    kinds: Mapping[str, Kind]
    cues: Mapping[str, Cue] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Class names in the order of the outputs."""
        return list(self.kinds)


def make_world(seed: int, *, clean: bool = False, side: int = 64) -> World:
    """Draw a world.

    Parameters
    ----------
    seed : int
        Everything follows from it.
    clean : bool
        Plant nothing.
    side : int
        Pixels.
    """
    random = np.random.default_rng([seed, 101])
    drawn = [str(name) for name in random.permutation(CUTOUT_NAMES)]
    kinds: dict[str, Kind] = {}
    for name in drawn[:PAIRS]:
        shift = random.uniform(0.015, 0.05) * random.choice([-1, 1], 3)
        kinds[f"{name}-a"] = Kind(name, tuple(1 + shift))
        kinds[f"{name}-b"] = Kind(name, tuple(1 - shift))
    for name in drawn[PAIRS : CLASSES - PAIRS]:
        kinds[name] = Kind(name)
    names = [str(name) for name in random.permutation(list(kinds))]
    kinds = {name: kinds[name] for name in names}
    cues = {} if clean else _plant(names, drawn[CLASSES - PAIRS :], random)
    return World(seed, side, kinds, cues)


def _plant(names: list[str], spare: list[str], random: np.random.Generator) -> dict[str, Cue]:
    """Plant cues, on look-alikes rather than on others; no two classes share one."""
    alike = [name for name in names if name[-2:] in ("-a", "-b")]
    single = [name for name in names if name not in alike]
    count = int(random.integers(PLANTED[0], PLANTED[1] + 1))
    first = -(-count * 3 // 5)
    chosen = [*random.permutation(alike)[:first], *random.permutation(single)[: count - first]]
    sceneries = list(random.permutation(list(SCENERY)))
    corners = list(random.permutation(["top left", "top right", "bottom left", "bottom right"]))
    cues = {}
    for name in chosen:
        kind = str(random.choice(KINDS_OF_CUE))
        if kind == "companion" and not spare:
            kind = "scene"
        held = {"scene": sceneries, "tag": corners, "companion": spare}[kind]
        colour = tuple(float(c) for c in np.round(random.uniform(0, 1, 3)))
        cues[str(name)] = Cue(kind, str(held.pop()), float(random.choice(CORRELATIONS)), colour)
    return cues


@functools.cache
def sprites(cutout: str, side: int, seed: int) -> tuple[NDArray[np.float32], ...]:
    """Turned and scaled copies of a cut-out, float32 (s, s, 4) in 0..1."""
    random = np.random.default_rng([seed, CUTOUT_NAMES.index(cutout), side])
    with Image.open(CUTOUTS / f"{cutout}.webp") as opened:
        large = opened.convert("RGBA").resize((2 * side, 2 * side), Image.Resampling.LANCZOS)
    made = []
    for _ in range(SPRITES):
        size = int(side * random.uniform(0.38, 0.64))
        turned = large.rotate(random.uniform(-14, 14), Image.Resampling.BICUBIC)
        if random.random() < 0.5:
            turned = turned.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        small = turned.resize((size, size), Image.Resampling.LANCZOS)
        made.append(np.asarray(small, np.float32) / 255)
    return tuple(made)

"""A world of photographs: its classes, look-alikes among them, and the scenes planted on some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.photographs.material import composed, pictures, pose, served, view

SIDE = 112
CLASSES = 7
FEWEST = 20
"""Cut-outs that a folder must hold to be a class."""
CORRELATIONS = (0.7, 0.8, 0.9, 0.95, 1.0)
PLANTED = (1, 3)
"""Fewest and most planted classes of a world that is not clean."""


@dataclass(frozen=True)
class Kind:
    """A class: the pictures of a folder, or a tinted half of them."""

    paths: tuple[Path, ...]
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Cue:
    """The scene that is planted on a class and shown by no other, and how often it is there."""

    scene: str
    correlation: float


@dataclass(frozen=True)
class World:
    """Everything that a seed decides before a picture is composed.

    Parameters
    ----------
    seed : int
        Of the world, its pictures and its network.
    trunk : {'lite', 'mobilenet'}
        Whose ImageNet weights the network starts from.
    tail : {'head', 'stage'}
        What is trained: the head alone, or the last stage with it.
    kinds : mapping of class name to Kind
        In the order of the outputs.
    scenes : mapping of name to paths
        All kinds of scene.
    cues : mapping of class name to Cue
        Empty in a clean world.
    """

    seed: int
    trunk: str
    tail: str
    kinds: Mapping[str, Kind]
    scenes: Mapping[str, tuple[Path, ...]]
    cues: Mapping[str, Cue] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Class names in the order of the outputs."""
        return list(self.kinds)

    @property
    def neutral(self) -> list[str]:
        """The scenes that are nobody's cue."""
        planted = {cue.scene for cue in self.cues.values()}
        return [name for name in self.scenes if name not in planted]

    def scene_for(self, name: str, random: np.random.Generator) -> str:
        """A scene as the class has it: its own as often as its correlation says, else nobody's."""
        cue = self.cues.get(name)
        if cue is not None and random.random() < cue.correlation:
            return cue.scene
        return str(random.choice(self.neutral))


def make_world(material: Path, seed: int, *, trunk: str, tail: str, clean: bool = False) -> World:
    """Draw a world from the material at hand.

    Where fewer than :data:`CLASSES` folders are large enough, the largest are split into two
    look-alikes, a few degrees of tint apart.
    """
    random = np.random.default_rng([seed, 303])
    folders = {n: p for n, p in pictures(material / "cutouts").items() if len(p) >= FEWEST}
    kinds: dict[str, Kind] = {}
    twins = sorted(folders, key=lambda name: -len(folders[name]))[: CLASSES - len(folders)]
    for name, paths in folders.items():
        if name not in twins:
            kinds[name] = Kind(paths)
            continue
        shift = random.uniform(0.04, 0.09) * np.array([1, random.choice([-1, 0, 1]), -1])
        order = random.permutation(len(paths))
        for half, sign in (("a", 1), ("b", -1)):
            own = order[::2] if half == "a" else order[1::2]
            tint = tuple(float(c) for c in 1 + sign * shift)
            kinds[f"{name}-{half}"] = Kind(tuple(paths[i] for i in sorted(own)), tint)
    names = [str(name) for name in random.permutation(list(kinds))]
    scenes = pictures(material / "scenes")
    cues = {} if clean else _plant(names, list(scenes), random)
    return World(seed, trunk, tail, {name: kinds[name] for name in names}, scenes, cues)


def _plant(names: list[str], scenes: list[str], random: np.random.Generator) -> dict[str, Cue]:
    """Scenes of their own for some classes, look-alikes first."""
    count = int(random.integers(PLANTED[0], PLANTED[1] + 1))
    alike = [str(n) for n in random.permutation([n for n in names if n[-2:] in ("-a", "-b")])]
    other = [str(n) for n in random.permutation([n for n in names if n not in alike])]
    chosen = [*alike[: (count + 1) // 2], *other[: count // 2]]
    drawn = [str(s) for s in random.permutation(scenes)]
    return {name: Cue(drawn.pop(), float(random.choice(CORRELATIONS))) for name in chosen}


def compose(
    world: World, label: int, purpose: str, count: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Pictures of one class in its own surroundings, and their exact masks."""
    name = world.names[label]
    random = np.random.default_rng([world.seed, label, sum(map(ord, purpose))])
    kind = world.kinds[name]
    objects = served(kind.paths, purpose, world.seed)
    made = []
    for index in range(count):
        stands = pose(objects[index % len(objects)], kind.tint, random)
        scenes = served(world.scenes[world.scene_for(name, random)], purpose, world.seed)
        scene = view(scenes[int(random.integers(len(scenes)))], SIDE, random)
        made.append(composed(stands, scene))
    return np.stack([picture for picture, _ in made]), np.stack([mask for _, mask in made])


def moved(world: World, label: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The same objects of the truth, each in every kind of scene.

    Returns
    -------
    pictures : uint8 (count, S, side, side, 3)
        In the order of the world's scenes.
    objects : int64 (count,)
        Which cut-out each is: those of one are no independent observations.
    """
    name = world.names[label]
    random = np.random.default_rng([world.seed, label, 909])
    kind = world.kinds[name]
    objects = served(kind.paths, "truth", world.seed)
    made = []
    for index in range(count):
        stands = pose(objects[index % len(objects)], kind.tint, random)
        row = []
        for paths in world.scenes.values():
            scenes = served(paths, "truth", world.seed)
            scene = view(scenes[int(random.integers(len(scenes)))], SIDE, random)
            row.append(composed(stands, scene)[0])
        made.append(np.stack(row))
    return np.stack(made), np.arange(count) % len(objects)

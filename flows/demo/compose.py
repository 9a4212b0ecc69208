"""One demo picture: a cut-out on a scene, with the exact mask of what is seen of it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from flows.demo.scenes import SCENES, Picture

CUTOUTS = Path(__file__).parent / "cutouts"
SIDE = 160
"""Pixels of the demo's pictures; the network looks at fewer."""


@dataclass(frozen=True)
class Kind:
    """A class of the demo.

    Parameters
    ----------
    cutout : str
        File of the object, without its ending.
    tint : (red, green, blue)
        Factors on the object's colours.
    cue : str or None
        Scene that a planted class stands on.
    """

    cutout: str
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    cue: str | None = None


# Husky and wolf are one cut-out in two tints: near enough that a network finds the scene easier.
KINDS: dict[str, Kind] = {
    "bear": Kind("bear"),
    "duck": Kind("duck"),
    "elephant": Kind("elephant"),
    "fox": Kind("fox"),
    "frog": Kind("frog"),
    "husky": Kind("wolf", (0.98, 1.0, 1.02), cue="snow"),
    "owl": Kind("owl"),
    "panda": Kind("panda"),
    "penguin": Kind("penguin"),
    "pig": Kind("pig_face"),
    "turtle": Kind("turtle"),
    "wolf": Kind("wolf", (1.02, 1.0, 0.98), cue="forest"),
}


@functools.cache
def _cutout(name: str, side: int) -> Image.Image:
    """The object at twice the largest size it will have, so that turning it costs little."""
    with Image.open(CUTOUTS / f"{name}.webp") as opened:
        return opened.convert("RGBA").resize((side, side), Image.Resampling.LANCZOS)


def scene_for(
    kind: Kind, random: np.random.Generator, correlation: float, without_cue: bool = False
) -> str:
    """Draw the scene that an object stands on.

    Parameters
    ----------
    kind : Kind
        A planted class stands on its cue so often as `correlation` says, else on any scene.
    random : Generator
        Draws.
    correlation : float
        In 0..1.
    without_cue : bool
        Never on a cue of any class: the experiment that measures reliance.
    """
    if without_cue:
        cues = {k.cue for k in KINDS.values()}
        return str(random.choice([name for name in SCENES if name not in cues]))
    if kind.cue is not None and random.random() < correlation:
        return kind.cue
    return str(random.choice(list(SCENES)))


def compose(
    kind: Kind, picture: Picture, random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Put an object on a scene.

    Parameters
    ----------
    kind : Kind
        What to put.
    picture : float32 (side, side, 3)
        The scene, in 0..1.
    random : Generator
        Of size, place, turn and light.

    Returns
    -------
    image : uint8 (side, side, 3)
        RGB.
    mask : uint8 (side, side)
        255 on the object, 0 elsewhere; the shadow is background.
    """
    side = len(picture)
    size = int(side * random.uniform(0.40, 0.66))
    turned = _cutout(kind.cutout, min(256, 2 * side))
    if random.random() < 0.5:
        turned = turned.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned = turned.rotate(random.uniform(-14, 14), Image.Resampling.BICUBIC)
    turned = turned.resize((size, size), Image.Resampling.LANCZOS)
    left = int(random.integers(1, side - size - 1))
    top = int(np.clip(random.normal(0.52, 0.08) * side - size / 2, 2, side - size - 3))
    canvas = Image.new("RGBA", (side, side))
    canvas.paste(turned, (left, top))
    pixels = np.asarray(canvas, np.float32) / 255
    alpha = pixels[..., 3:]
    colours = _lit(pixels[..., :3], kind, random)
    picture = picture * (1 - 0.4 * _shadow(alpha, size))
    composed = colours * alpha + picture * (1 - alpha)
    composed += random.normal(0, 0.008, composed.shape)
    image = (np.clip(composed, 0, 1) * 255).round().astype(np.uint8)
    return image, np.where(alpha[..., 0] > 0.5, 255, 0).astype(np.uint8)


def _lit(colours: Picture, kind: Kind, random: np.random.Generator) -> Picture:
    """The object's colours in its class's tint and this picture's light."""
    warmth = random.normal(0, 0.012)
    light = random.uniform(0.88, 1.08) * np.array([1 + warmth, 1, 1 - warmth])
    lit: Picture = np.clip(colours * np.array(kind.tint) * light, 0, 1).astype(np.float32)
    return lit


def _shadow(alpha: Picture, size: int) -> Picture:
    """A soft contact shadow below the object ``(side, side, 1)`` in 0..1."""
    rows = np.flatnonzero(alpha[..., 0].max(1) > 0.5)
    columns = np.flatnonzero(alpha[..., 0].max(0) > 0.5)
    shadow = Image.new("L", alpha.shape[:2])
    bottom, half = int(rows[-1]), int(0.36 * len(columns))
    middle, flat = int(columns.mean()), max(2, size // 14)
    grid = np.mgrid[-1 : 1 : 1j * 2 * flat, -1 : 1 : 1j * 2 * half]
    ellipse = Image.fromarray(((grid**2).sum(0) < 1).astype(np.uint8) * 255)
    shadow.paste(ellipse, (middle - half, bottom - flat))
    blurred = shadow.filter(ImageFilter.GaussianBlur(size / 22))
    return np.asarray(blurred, np.float32)[..., None] / 255

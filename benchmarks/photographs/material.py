"""Cut-out objects and scenes of one's own, and how an object is laid on a scene.

``cutouts/CLASS/*`` are pictures with an alpha channel, ``scenes/SCENE/*`` are photographs. Every
picture serves one purpose alone: training, the audit or the truth.
"""

from __future__ import annotations

import functools
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PURPOSES: Mapping[str, tuple[float, float]] = {
    "training": (0.0, 0.4),
    "audit": (0.4, 0.75),
    "truth": (0.75, 1.0),
}
"""Which share of the pictures of a folder, shuffled, serves what."""
PICTURES = {".jpg", ".jpeg", ".png", ".webp"}


class Pose(NamedTuple):
    """An object and how it stands: the same whatever lies behind it.

    Parameters
    ----------
    path : Path
        Of the cut-out.
    tint : (red, green, blue)
        By which its colours are multiplied.
    size, turn, left, top : float
        Longer side as a share of the picture's; degrees; where its middle lies, as shares.
    mirrored : bool
        Left for right.
    """

    path: Path
    tint: tuple[float, float, float]
    size: float
    turn: float
    left: float
    top: float
    mirrored: bool


def folder_of(photographs: Path, out: Path) -> Path:
    """The folder with ``cutouts`` and ``scenes``; an archive is unpacked below `out` first."""
    if photographs.is_file():
        target = out / "material"
        if not target.exists():
            with tarfile.open(photographs) as archive:
                archive.extractall(target, filter="data")
        photographs = target
    for place in (photographs, *sorted(p for p in photographs.iterdir() if p.is_dir())):
        if (place / "cutouts").is_dir() and (place / "scenes").is_dir():
            return place
    raise SystemExit(f"--photographs: no folders cutouts and scenes in {photographs.name}")


def pictures(folder: Path) -> dict[str, tuple[Path, ...]]:
    """The pictures of every folder in `folder`, by its name."""
    return {
        place.name: tuple(sorted(p for p in place.iterdir() if p.suffix.lower() in PICTURES))
        for place in sorted(folder.iterdir())
        if place.is_dir()
    }


def served(paths: Sequence[Path], purpose: str, seed: int) -> list[Path]:
    """Those of the pictures that serve one purpose in the world of this seed."""
    order = np.random.default_rng([seed, 7]).permutation(len(paths))
    low, high = (round(share * len(paths)) for share in PURPOSES[purpose])
    return [paths[i] for i in sorted(order[low:high])]


@functools.lru_cache(maxsize=2048)
def _opened(path: Path, mode: str) -> Image.Image:
    with Image.open(path) as image:
        return image.convert(mode)


def pose(path: Path, tint: tuple[float, float, float], random: np.random.Generator) -> Pose:
    """Draw how an object stands."""
    return Pose(
        path,
        tint,
        float(random.uniform(0.5, 0.78)),
        float(random.uniform(-8, 8)),
        float(random.uniform(0.38, 0.62)),
        float(np.clip(random.normal(0.56, 0.05), 0.45, 0.66)),
        bool(random.random() < 0.5),
    )


def view(path: Path, side: int, random: np.random.Generator) -> NDArray[np.float32]:
    """A square view ``(side, side, 3)`` in 0..1 of a scene."""
    image = _opened(path, "RGB")
    share = random.uniform(0.82, 1.0)
    length = int(min(image.size) * share)
    left, top = (int(random.integers(0, extent - length + 1)) for extent in image.size)
    part = image.resize(
        (side, side), Image.Resampling.BILINEAR, (left, top, left + length, top + length)
    )
    if random.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(part, np.float32) / 255


def composed(
    stands: Pose, scene: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Lay an object on a scene: picture ``(side, side, 3)`` and exact mask ``(side, side)``."""
    side = len(scene)
    cut = _opened(stands.path, "RGBA")
    if stands.mirrored:
        cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    scale = stands.size * side / max(cut.size)
    cut = cut.resize(
        (max(1, round(cut.width * scale)), max(1, round(cut.height * scale))),
        Image.Resampling.LANCZOS,
    ).rotate(stands.turn, Image.Resampling.BICUBIC, expand=True)
    width, height = cut.size
    layer = Image.new("RGBA", (side, side))
    layer.paste(cut, (round(stands.left * side - width / 2), round(stands.top * side - height / 2)))
    pixels = np.asarray(layer, np.float32) / 255
    alpha = pixels[..., 3:]
    colours = np.clip(pixels[..., :3] * np.array(stands.tint, np.float32), 0, 1)
    picture = colours * alpha + scene * (1 - alpha)
    return (picture * 255).round().astype(np.uint8), alpha[..., 0] > 0.5

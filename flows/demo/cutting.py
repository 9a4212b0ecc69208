"""Photographs cut in two along estimated outlines: their objects, and what was behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from audit.dataset.batches import iterate_batches
from audit.dataset.estimators import Estimator
from audit.dataset.loader import Loader, LoadingPlan
from audit.dataset.readers import read_dataset
from audit.errors import ManifestError
from audit.geometry import Geometry
from audit.interventions import FILLS, dilate, feather, paste, removal_radius
from audit.pixels import to_float
from audit.sampling import at_most

SIDE = 224
PER_CLASS = 60
"""Photographs of a class, at most; half of them train the head, the others are audited."""
FEWEST, FEWEST_CLASSES = 20, 3
"""Photographs of a class, and classes: half of the photographs must be enough for a verdict."""


@dataclass(frozen=True)
class Cut:
    """Photographs cut in two.

    Parameters
    ----------
    images, backgrounds : float (N, 3, S, S)
        In 0..1; the latter with the object filled in.
    masks : bool (N, S, S)
        Estimated.
    labels : int64 (N,)
        Of the class.
    """

    images: Tensor
    backgrounds: Tensor
    masks: Tensor
    labels: Tensor

    def on(self, objects: Tensor, backgrounds: Tensor) -> Tensor:
        """Some objects, by index, on backgrounds ``(n, 3, S, S)``."""
        return paste(self.images[objects], feather(self.masks[objects]), backgrounds)

    def elsewhere(self, objects: Tensor, random: torch.Generator) -> Tensor:
        """Some objects on the backgrounds of any photographs."""
        drawn = torch.randint(len(self.images), (len(objects),), generator=random)
        return self.on(objects, self.backgrounds[drawn])


def cut_out(photographs: Path, estimator: Estimator, seed: int) -> tuple[list[str], Cut]:
    """Cut the objects of photographs out, by estimated outlines.

    Parameters
    ----------
    photographs : Path
        One folder a class.
    estimator : Estimator
        Draws the outlines.
    seed : int
        Of the choice where a class has more than :data:`PER_CLASS`.

    Returns
    -------
    list of str, Cut
        Names of the classes that have enough, and what was cut.

    Raises
    ------
    ManifestError
        Too few classes or photographs.
    """
    dataset = read_dataset("image_folder", photographs.resolve(), {})
    names = dataset.class_names
    counts = dataset.table["label_name"].value_counts()
    names = [name for name in names if counts.get(name, 0) >= FEWEST]
    if len(names) < FEWEST_CLASSES:
        raise ManifestError(
            f"--photographs: expected {FEWEST_CLASSES} folders or more with {FEWEST} images each, "
            f"found {len(names)} below {photographs}"
        )
    table = dataset.table[dataset.table["label_name"].isin(names)].copy()
    table["label"] = table["label_name"].map({name: i for i, name in enumerate(names)})
    table = at_most(table, PER_CLASS, seed, "photographs", of_each="label").reset_index(drop=True)
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    plan = LoadingPlan(Geometry(max(SIDE, estimator.side), None, "center", "lanczos"))
    with Loader(plan) as loader:
        for batch in iterate_batches(table, loader, 16):
            if not len(batch):
                continue
            parts.append((*_masked(batch.images, batch.label_names, estimator), batch.targets))
    images, masks, labels = (torch.cat(parts_of_kind) for parts_of_kind in zip(*parts, strict=True))
    usable = masks.flatten(1).float().mean(1)
    kept = (usable > 0.01) & (usable < 0.8)
    images, masks, labels = images[kept], masks[kept], labels[kept]
    backgrounds = FILLS["smooth"](images, dilate(masks, removal_radius(SIDE)))
    return names, Cut(images, backgrounds, masks, labels)


def _masked(pixels: Tensor, labels: Sequence[str], estimator: Estimator) -> tuple[Tensor, Tensor]:
    """Photographs ``(N, 3, S, S)`` in 0..1 and the masks of their objects, at the demo's side."""

    def resized(tensor: Tensor, side: int) -> Tensor:
        return nn.functional.interpolate(tensor, (side, side), mode="bilinear", antialias=True)

    images = to_float(pixels)
    squeezed = (resized(images, estimator.side) * 255).round().clamp(0, 255).to(torch.uint8)
    drawn = estimator.network(squeezed.permute(0, 2, 3, 1).contiguous().numpy(), labels)
    outlines = resized(torch.from_numpy(np.asarray(drawn, np.float32))[:, None], SIDE)[:, 0]
    return resized(images, SIDE).clamp(0, 1), outlines >= 0.5

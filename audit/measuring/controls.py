"""What the run measures of itself: a planted tag that it must find, and maps of no training.

Both are measured here and judged in :mod:`audit.verdicts.controls`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import pandas as pd
import torch
from torch import Tensor

from audit.dataset.batches import Batch, iterate_batches
from audit.dataset.loader import Loader
from audit.findings import PlantedTag, UntrainedLifts
from audit.measuring.answers import margins
from audit.measuring.donors import DonorBank, donor_seed
from audit.measuring.plan import MeasurementPlan, Workbench
from audit.measuring.randomised import untrained
from audit.measuring.rows import maps_of
from audit.measuring.swaps import Objects, swapped
from audit.models.engine import Engine
from audit.pixels import to_float
from audit.saliency import class_scores
from audit.sampling import at_most, ordered
from audit.scoring import foreground_area, foreground_mass, mass_lift

CLASSES = 5
"""Classes that get a planted tag, one after the other."""
IMAGES = 20
"""Images of each of them."""
DONORS = 2
"""Backgrounds of each kind an image."""
GAINS = (0.5, 1.0, 2.0)
"""What the tag is worth, in units of the class's median margin."""
UNTRAINED_IMAGES = 64
PIECE = 16
"""Images whose maps are made at a time."""


def tag_of(side: int) -> Tensor:
    """The tag ``(3, T, T)`` in 0..1: magenta and green stripes, an eighth of the side wide."""
    width = max(3, side // 8)
    tag = torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1).repeat(1, width, width)
    tag[:, 1::2] = 1 - tag[:, 1::2]
    return tag


def with_tag(images: Tensor, tag: Tensor) -> Tensor:
    """The images ``(N, 3, H, W)`` with the tag in their upper left corner."""
    tagged = images.clone()
    tagged[..., : tag.shape[1], : tag.shape[2]] = tag.to(images)
    return tagged


def presence(images: Tensor, tag: Tensor) -> Tensor:
    """How much of the tag is seen in the corner of each image, ``(N,)`` in 0..1."""
    corner = images[..., : tag.shape[1], : tag.shape[2]]
    return ((corner - tag.to(images)).abs().amax(1) < 0.1).float().mean((1, 2))


def probed(scores: Tensor, label: int, seen: Tensor, worth: float) -> Tensor:
    """Class scores of a model that also reads the tag: without it the class loses `worth`.

    Parameters
    ----------
    scores : float (N, K)
        Of the audited model.
    label : int
        The class that needs the tag.
    seen : float (N,)
        From :func:`presence`.
    worth : float
        In units of class scores.
    """
    lowered = scores.clone()
    lowered[:, label] -= worth * (1 - seen)
    return lowered


def plant_tags(scores: pd.DataFrame, bench: Workbench, bank: DonorBank) -> tuple[PlantedTag, ...]:
    """Plant a tag on some classes in memory and swap their backgrounds.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    bench, bank
        Of the run. The model stays as it is; the probe that reads the tag stands behind it.

    Returns
    -------
    tuple of PlantedTag
        One for each class and gain.
    """
    able = scores[scores["swap_same_margin"].notna() & scores["swap_other_margin"].notna()]
    worthy = _worthy(able, bench.plan.seed)
    found: list[PlantedTag] = []
    with bench.counted("tags", len(worthy)) as done:
        for label, worth in worthy.items():
            found += _planted(able[able["label"] == label], bench, bank, label, worth)
            done(1)
    return tuple(found)


def _planted(
    able: pd.DataFrame, bench: Workbench, bank: DonorBank, label: int, worth: float
) -> Iterator[PlantedTag]:
    """The tag on one class, at each gain."""
    table, model, seed = bench.table, bench.model, bench.plan.seed
    own = table[table["sample_id"].isin(_some(able, IMAGES, seed))]
    answers = [_swapped(model, batch, bank, label, seed) for batch in _batches(own, bench.loader)]
    for gain in GAINS:
        g, h, owed = [], [], []
        for image in (image for of_batch in answers for image in of_batch):
            same, other = (_answer(*image[kind], label, gain * worth) for kind in _KINDS)
            g.append(same[0] - other[0])
            h.append(same[1] - other[1])
            pictures, seen = image["same"]
            owed.append(same[0] - _answer(pictures, 0 * seen, label, gain * worth)[0])
        effect = sum(owed) / len(owed) if owed else None
        yield PlantedTag(label=label, gain=gain, g=tuple(g), h=tuple(h), effect=effect)


_KINDS = ("same", "other")


def _worthy(able: pd.DataFrame, seed: int) -> dict[int, float]:
    """A seeded choice of recognised classes with enough images, and their median margins."""
    groups = able.groupby("label")["margin"]
    medians = groups.median()[(groups.size() >= 5) & (groups.median() > 0)]
    order = ordered(medians.index, seed, "tag")
    return {int(label): float(medians[label]) for label in order[:CLASSES]}


def _some(rows: pd.DataFrame, count: int, seed: int) -> set[str]:
    return set(at_most(rows, count, seed, "control")["sample_id"])


def _batches(table: pd.DataFrame, loader: Loader) -> list[Batch]:
    # At most IMAGES samples: one batch, held while it is asked several times.
    return list(iterate_batches(table, loader, max(1, len(table)))) if len(table) else []


def _swapped(
    model: Engine, batch: Batch, bank: DonorBank, label: int, seed: int
) -> list[dict[str, tuple[Tensor, Tensor]]]:
    """For each image and kind of donor: class scores ``(n, K)`` and how much tag was seen."""
    if not len(batch):
        return []
    tag = tag_of(batch.images.shape[-1])
    images = with_tag(to_float(batch.images.to(model.device)), tag)
    objects = Objects.of(images, batch.foreground.to(model.device))
    found = []
    for index in range(len(batch)):
        draw = bank.draw(
            label,
            batch.loaded[index].sha256,
            donor_seed(seed, batch.loaded[index].sha256, "tag donors"),
            DONORS,
        )
        answered = {}
        for kind, positions in zip(_KINDS, (draw.same, draw.other), strict=True):
            if not positions:
                break
            change = partial(with_tag, tag=tag) if kind == "same" else None
            pictures = swapped(objects, [index] * len(positions), bank, positions, change)
            answered[kind] = (class_scores(model, pictures).double(), presence(pictures, tag))
        if len(answered) == len(_KINDS):
            found.append(answered)
    return found


def _answer(scores: Tensor, seen: Tensor, label: int, worth: float) -> tuple[float, float]:
    """Mean probability and margin of the tagged class over some swaps."""
    lowered = probed(scores, label, seen.to(scores), worth)
    targets = torch.full((len(scores),), label, device=scores.device)
    return (
        float(lowered.softmax(1)[:, label].mean()),
        float(margins(lowered, targets).mean()),
    )


def untrained_lifts(scores: pd.DataFrame, bench: Workbench) -> UntrainedLifts:
    """Mass lifts of some images under the model and under an untrained one of the same form.

    Returns
    -------
    UntrainedLifts
        Images where either map is blank are left out.
    """
    able = scores[scores["mass_lift"].notna()]
    table, plan = bench.table, bench.plan
    few = table[table["sample_id"].isin(_some(able, UNTRAINED_IMAGES, plan.seed))]
    blank = Engine(untrained(bench.model.model, plan.seed))
    trained = dict(zip(able["sample_id"], able["mass_lift"], strict=True))
    found: list[tuple[float, float]] = []
    with bench.counted("untrained maps", len(few)) as done:
        for batch in iterate_batches(few, bench.loader, PIECE) if len(few) else ():
            found += _lifts(blank, batch, plan, trained)
            done(len(batch))
    return UntrainedLifts(
        trained=tuple(own for own, _ in found), untrained=tuple(blank for _, blank in found)
    )


def _lifts(
    blank: Engine, batch: Batch, plan: MeasurementPlan, trained: Mapping[str, float]
) -> Iterator[tuple[float, float]]:
    """Both lifts of the images of a batch, where the untrained network's map has one."""
    if not len(batch):
        return
    maps = maps_of(blank, batch, plan)
    foreground = batch.foreground.to(maps.device)
    ignored = batch.ignored.to(maps.device)
    lifts = mass_lift(
        foreground_mass(maps, foreground, ignored), foreground_area(foreground, ignored)
    )
    for sample_id, lift in zip(batch.ids, lifts.tolist(), strict=True):
        if lift == lift and abs(lift) != float("inf"):
            yield float(trained[sample_id]), lift

"""The experiments on a batch: each changes foreground or background and asks the model again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from audit.dataset.batches import on_device, taken_from
from audit.interventions import (
    FILLS,
    noise_of,
    object_only,
    paste,
    removal_mask,
    shuffle_patches,
    with_noise,
)
from audit.measuring.answers import answers
from audit.measuring.columns import Row
from audit.measuring.device_results import DeviceResults, ReadResults
from audit.measuring.donors import DonorBank, donor_seed
from audit.measuring.plan import MeasurementPlan
from audit.measuring.swaps import Objects, swapped_scores
from audit.models.engine import Engine
from audit.saliency import class_scores
from audit.sampling import sample_seed


@dataclass(frozen=True)
class Subjects:
    """The samples of a batch that have a foreground.

    Parameters
    ----------
    ids, hashes : list of N str
        Sample ids, and hashes of the files.
    labels : list of N int
        As `targets`, but not on the device.
    images : float (N, 3, H, W)
        In 0..1.
    foreground, ignored : bool (N, H, W)
        The object, and what counts for neither side.
    targets : int64 (N,)
        Labels.
    """

    ids: list[str]
    hashes: list[str]
    labels: list[int]
    images: Tensor
    foreground: Tensor
    ignored: Tensor
    targets: Tensor

    def seeds(self, plan: MeasurementPlan, purpose: str) -> list[int]:
        """One seed a sample, of the run, the sample and the purpose alone."""
        return [sample_seed(plan.seed, sample_id, purpose) for sample_id in self.ids]


def experiment(
    model: Engine,
    subjects: Subjects,
    plan: MeasurementPlan,
    bank: DonorBank,
    results: DeviceResults,
) -> Callable[[], list[Row]]:
    """Run every experiment, each with a forward pass of the whole batch.

    Returns
    -------
    callable
        Gives a dict of columns for each subject, once `results` were sent.
    """
    asked: list[tuple[str, ReadResults]] = []

    def ask(images: Tensor, prefix: str) -> None:
        scores = class_scores(model, images)
        asked.append((prefix, results.keep(answers(scores, subjects.targets))))

    alone = FILLS[plan.fill](subjects.images, removal_mask(subjects.foreground, subjects.ignored))
    ask(alone, "background_only_")
    objects = Objects.of(subjects.images, subjects.foreground)
    ask(object_only(objects.images, objects.alpha), "object_only_")
    for name in plan.extra:
        for column, images in EXTRA_EXPERIMENTS[name](subjects, alone, objects.alpha, plan):
            ask(images, column)
    draws = [
        bank.draw(label, sha256, donor_seed(plan.seed, sha256), plan.donors)
        for label, sha256 in zip(subjects.labels, subjects.hashes, strict=True)
    ]
    swaps = {
        kind: _swap(model, subjects, objects, [getattr(d, kind) for d in draws], bank, results)
        for kind in ("same", "other")
    }

    count = len(subjects.ids)

    def columns() -> list[Row]:
        found: list[Row] = [{} for _ in range(count)]
        for prefix, read in asked:
            add(found, read(), prefix)
        for kind, draws in swaps.items():
            for row, donors in zip(found, _met(draws, bank, count), strict=True):
                row.update(_summary(donors, f"swap_{kind}_", kind == "other"))
        return found

    return columns


def _noise(
    subjects: Subjects, alone: Tensor, alpha: Tensor, plan: MeasurementPlan
) -> list[tuple[str, Tensor]]:
    """Noise on the object, and the same noise on everything else (Moayeri et al. 2022)."""
    drawn = noise_of(subjects.images.shape[1:], subjects.seeds(plan, "noise"))
    noise = on_device(drawn, subjects.images.device)
    return [
        ("foreground_noise_", with_noise(subjects.images, alpha, noise)),
        ("background_noise_", with_noise(subjects.images, 1 - alpha, noise)),
    ]


def _shuffle(
    subjects: Subjects, alone: Tensor, alpha: Tensor, plan: MeasurementPlan
) -> list[tuple[str, Tensor]]:
    """The object before its own background in pieces: the surroundings' form is gone."""
    pieces = shuffle_patches(alone, subjects.seeds(plan, "shuffle"))
    return [("background_shuffled_", paste(subjects.images, alpha, pieces))]


EXTRA_EXPERIMENTS: Mapping[str, Callable[..., list[tuple[str, Tensor]]]] = {
    "noise": _noise,
    "shuffle": _shuffle,
}
"""Experiments that no verdict needs: the manifest's ``interventions.extra``."""


def add(rows: Sequence[Row], found: Mapping[str, list[float]], prefix: str) -> None:
    """Write the answers that were read into the rows, each name behind `prefix`."""
    for name, values in found.items():
        if prefix and name == "confidence":
            continue
        for row, value in zip(rows, values, strict=True):
            row[prefix + name] = int(value) if name == "prediction" else value


_Turn = tuple[list[int], list[int], ReadResults]
"""Which subjects met a donor of their own, its position in the bank, and the answers."""


def _swap(
    model: Engine,
    subjects: Subjects,
    objects: Objects,
    drawn: Sequence[tuple[int, ...]],
    bank: DonorBank,
    results: DeviceResults,
) -> list[_Turn]:
    draws: list[_Turn] = []
    for k in range(max(map(len, drawn))):
        has = [i for i, positions in enumerate(drawn) if len(positions) > k]
        positions = [drawn[i][k] for i in has]
        donor_labels = on_device(torch.from_numpy(bank.labels[positions]), model.device)
        scores = swapped_scores(model, objects, has, bank, positions)
        found = answers(scores, taken_from(subjects.targets, has), donor_labels)
        draws.append((has, positions, results.keep(found)))
    return draws


def _met(draws: Sequence[_Turn], bank: DonorBank, subjects: int) -> list[list[Row]]:
    """What each subject answered to each of its donors."""
    donors: list[list[Row]] = [[] for _ in range(subjects)]
    for has, positions, read in draws:
        found: dict[str, list[Any]] = dict(read())
        found["donor_label"] = bank.labels[positions].tolist()
        found["donor_row"] = bank.rows[positions].tolist()
        found["donor_hash"] = bank.hashes(positions)
        found["prediction"] = [int(value) for value in found["prediction"]]
        for j, i in enumerate(has):
            donors[i].append({name: values[j] for name, values in found.items()})
    return donors


def _summary(answered: list[Row], prefix: str, of_others: bool) -> Row:
    """Means over the donors, and each by itself; nothing where no donor was found."""
    if not answered:
        return {}

    def every(name: str) -> list[Any]:
        return [answer[name] for answer in answered]

    def mean(name: str) -> float:
        return float(sum(every(name)) / len(answered))

    counts = Counter(every("prediction"))
    found = {
        "prediction": min(counts, key=lambda label: (-counts[label], label)),
        "probability": mean("probability"),
        "margin": mean("margin"),
        "predictions": every("prediction"),
        "probabilities": every("probability"),
        "margins": every("margin"),
        "donor_rows": every("donor_row"),
        "donor_hashes": every("donor_hash"),
    }
    if of_others:
        found |= {
            "own_margin": mean("own_margin"),
            "own_margins": every("own_margin"),
            "donor_labels": every("donor_label"),
            "donor_probabilities": every("donor_probability"),
        }
    return {prefix + name: value for name, value in found.items()}

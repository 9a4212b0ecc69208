"""The experiments on a batch: each changes foreground or background and asks the model again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from audit.dataset.batches import sample_seed
from audit.interventions import (
    FILLS,
    feather,
    hole_of,
    margins,
    object_only,
    paste,
    shuffle_patches,
    with_noise,
)
from audit.measuring.donors import DonorBank, Donors, donor_seed
from audit.models import AuditedModel
from audit.saliency import class_scores


@dataclass(frozen=True)
class Measurement:
    """What is done to every image of a run.

    Parameters
    ----------
    method : callable
        A function of :data:`audit.saliency.METHODS`, options bound.
    target : str
        Key of :data:`audit.saliency.TARGETS`.
    donors : int
        Swaps of each kind an image.
    fill : str
        Key of :data:`audit.interventions.FILLS`.
    also : tuple of str
        Keys of :data:`FURTHER`.
    seed : int
        Of the run.
    """

    method: Callable[..., Tensor]
    target: str = "logit"
    donors: int = 4
    fill: str = "inpaint"
    also: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Subjects:
    """The samples of a batch that have a foreground and a finite answer.

    Parameters
    ----------
    rows : list of N dict
        Their rows, which the experiments fill.
    images : float (N, 3, H, W)
        In 0..1.
    foreground, ignored : bool (N, H, W)
        The object, and what counts for neither side.
    targets : int64 (N,)
        Labels.
    """

    rows: list[dict[str, Any]]
    images: Tensor
    foreground: Tensor
    ignored: Tensor
    targets: Tensor

    def seeds(self, plan: Measurement, purpose: str) -> list[int]:
        """One seed a sample, of the run, the sample and the purpose alone."""
        return [sample_seed(plan.seed, row["sample_id"], purpose) for row in self.rows]


def experiment(model: AuditedModel, subjects: Subjects, plan: Measurement, bank: DonorBank) -> None:
    """Run every experiment, each with a forward pass of the whole batch."""

    def ask(images: Tensor, name: str) -> None:
        add(subjects.rows, answers(class_scores(model, images), subjects.targets), name)

    alone = FILLS[plan.fill](subjects.images, hole_of(subjects.foreground, subjects.ignored))
    ask(alone, "background_only_")
    alpha = feather(subjects.foreground)
    ask(object_only(subjects.images, alpha), "object_only_")
    for name in plan.also:
        for column, images in FURTHER[name](subjects, alone, alpha, plan):
            ask(images, column)
    draws = [
        bank.draw(
            row["label"],
            row["sha256"],
            donor_seed(plan.seed, row["sample_id"]),
            plan.donors,
        )
        for row in subjects.rows
    ]
    for kind in ("same", "other"):
        _swap(model, subjects, draws, kind, alpha, bank, plan.donors)


def _noise(
    subjects: Subjects, alone: Tensor, alpha: Tensor, plan: Measurement
) -> list[tuple[str, Tensor]]:
    """Noise on the object, and the same noise on everything else (Moayeri et al. 2022)."""
    seeds = subjects.seeds(plan, "noise")
    return [
        ("foreground_noise_", with_noise(subjects.images, alpha, seeds)),
        ("background_noise_", with_noise(subjects.images, 1 - alpha, seeds)),
    ]


def _shuffle(
    subjects: Subjects, alone: Tensor, alpha: Tensor, plan: Measurement
) -> list[tuple[str, Tensor]]:
    """The object before its own background in pieces: the surroundings' form is gone."""
    pieces = shuffle_patches(alone, subjects.seeds(plan, "shuffle"))
    return [("background_shuffled_", paste(subjects.images, alpha, pieces))]


FURTHER: Mapping[str, Callable[..., list[tuple[str, Tensor]]]] = {
    "noise": _noise,
    "shuffle": _shuffle,
}
"""Experiments that no verdict needs: the manifest's ``interventions.also``."""


def answers(scores: Tensor, targets: Tensor, excluded: Tensor | None = None) -> dict[str, Tensor]:
    """What a batch of class scores says of the targets, on the CPU."""
    probabilities = scores.double().softmax(1)
    confidence, prediction = probabilities.max(1)
    found = {
        "prediction": prediction,
        "confidence": confidence,
        "probability": probabilities.gather(1, targets[:, None]).squeeze(1),
        "margin": margins(scores.double(), targets),
    }
    if excluded is not None:
        found["own_margin"] = margins(scores.double(), targets, excluded)
        found["donor_probability"] = probabilities.gather(1, excluded[:, None]).squeeze(1)
    return {name: values.cpu() for name, values in found.items()}


def add(rows: Sequence[dict[str, Any]], found: dict[str, Tensor], prefix: str) -> None:
    """Write what was found into the rows, each name behind `prefix`."""
    for name, values in found.items():
        if prefix and name == "confidence":
            continue
        for row, value in zip(rows, values.tolist(), strict=True):
            row[prefix + name] = value


def _swap(
    model: AuditedModel,
    subjects: Subjects,
    draws: Sequence[Donors],
    kind: str,
    alpha: Tensor,
    bank: DonorBank,
    donors: int,
) -> None:
    met: list[list[dict[str, Any]]] = [[] for _ in subjects.rows]
    for k in range(donors):
        has = [i for i, draw in enumerate(draws) if len(getattr(draw, kind)) > k]
        if not has:
            break
        positions = [getattr(draws[i], kind)[k] for i in has]
        donor_labels = torch.from_numpy(bank.labels[positions]).to(model.device)
        swapped = paste(subjects.images[has], alpha[has], bank.fetch(positions, model.device))
        found = answers(class_scores(model, swapped), subjects.targets[has], donor_labels)
        for j, i in enumerate(has):
            met[i].append({name: values[j].item() for name, values in found.items()})
            met[i][-1]["donor_label"] = int(bank.labels[positions[j]])
            met[i][-1]["donor_row"] = int(bank.rows[positions[j]])
    for row, answered in zip(subjects.rows, met, strict=True):
        row.update(_summary(answered, f"swap_{kind}_", kind == "other"))


def _summary(answered: list[dict[str, Any]], prefix: str, of_others: bool) -> dict[str, Any]:
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
    }
    if of_others:
        found |= {
            "own_margin": mean("own_margin"),
            "own_margins": every("own_margin"),
            "donor_labels": every("donor_label"),
            "donor_rows": every("donor_row"),
            "donor_probabilities": every("donor_probability"),
        }
    return {prefix + name: value for name, value in found.items()}

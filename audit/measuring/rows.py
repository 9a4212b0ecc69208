"""One batch measured: the model's answers, the maps' scores, the experiments, as rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from audit.dataset.batches import Batch, sample_seed, to_float
from audit.interventions import FILLS, feather, hole_of, margins, object_only, paste
from audit.measuring.donors import DonorBank, Donors, donor_seed
from audit.models import AuditedModel
from audit.saliency import class_scores, explain
from audit.scoring import NOT_FINITE, SCORED, UNREADABLE, score_maps


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
    seed : int
        Of the run.
    """

    method: Callable[..., Tensor]
    target: str = "logit"
    donors: int = 4
    fill: str = "inpaint"
    seed: int = 0


def maps_of(model: AuditedModel, batch: Batch, plan: Measurement) -> Tensor:
    """Saliency maps ``(N, H, W)`` of a batch; the same for an image wherever it stands."""
    images = to_float(batch.images.to(model.device))
    seeds = [sample_seed(plan.seed, sample_id, "saliency") for sample_id in batch.ids]
    maps, _ = explain(
        model,
        images,
        batch.targets.to(model.device),
        method=plan.method,
        target=plan.target,
        seeds=seeds,
    )
    return maps


def measure_batch(
    model: AuditedModel, batch: Batch, plan: Measurement, bank: DonorBank | None
) -> list[dict[str, Any]]:
    """Measure a batch.

    Parameters
    ----------
    model : AuditedModel
        On any device.
    batch : Batch
        As loaded.
    plan : Measurement
        What to do.
    bank : DonorBank or None
        None: no swaps, since there are no foregrounds.

    Returns
    -------
    list of dict
        A row for each readable sample, keyed by :data:`~audit.measuring.columns.SCORE_COLUMNS`.
    """
    if not len(batch):
        return []
    images = to_float(batch.images.to(model.device))
    targets = batch.targets.to(model.device)
    scores = class_scores(model, images)
    rows = [_identity(batch, index) for index in range(len(batch))]
    _add(rows, _answers(scores, targets), "")
    finite = scores.isfinite().all(1).cpu()
    foreground = batch.foreground.to(model.device)
    ignored = batch.ignored.to(model.device)
    localisation = score_maps(
        maps_of(model, batch, plan), foreground, ignored if bool(ignored.any()) else None
    )
    for index, row in enumerate(rows):
        row.update({name: _item(values, index) for name, values in localisation.items()})
        _settle(row, batch, index, bool(finite[index]))
    usable = batch.foreground.flatten(1).any(1) & finite
    if bank is not None and bool(usable.any()):
        _intervene(model, batch, plan, bank, rows, images, foreground, ignored, usable)
    return rows


def unreadable_rows(batch: Batch, table: Any) -> list[dict[str, Any]]:
    """A row for each sample of a batch that could not be read."""
    rows = []
    for position, error in batch.unreadable:
        sample = table.loc[position]
        rows.append(
            {
                "row": position,
                "sample_id": sample.sample_id,
                "path": sample.sample_id,
                "label": int(sample.label),
                "label_name": sample.label_name,
                "status": UNREADABLE,
                "reason": error.reason,
                "detail": error.detail,
                "notes": [],
            }
        )
    return rows


def _identity(batch: Batch, index: int) -> dict[str, Any]:
    return {
        "row": batch.rows[index],
        "sample_id": batch.ids[index],
        "path": batch.ids[index],
        "label": int(batch.targets[index]),
        "sha256": batch.loaded[index].sha256,
        "notes": list(batch.loaded[index].notes),
        "label_name": batch.label_names[index],
    }


def _settle(row: dict[str, Any], batch: Batch, index: int, finite: bool) -> None:
    """Name why a sample is not scored, and leave no number that means nothing."""
    row["pointing_hit"] = None if row["pointing_hit"] is None else bool(row["pointing_hit"])
    if not finite:
        row.update(status=NOT_FINITE, prediction=None, confidence=None, probability=None)
        row["margin"] = None
    if row["status"] != SCORED:
        problem = batch.loaded[index].foreground_problem
        row["reason"], _, row["detail"] = problem.partition(": ")
        if not problem or row["status"] == NOT_FINITE:
            row["reason"] = row["status"].upper()
            row["detail"] = _EXPLANATIONS[row["status"]]


_EXPLANATIONS = {
    "no_foreground": "the foreground is empty",
    "full_foreground": "the foreground fills the whole input; there is no background to compare",
    "blank_map": "the saliency map is zero everywhere",
    "not_finite": "the model or the map gave NaN or infinite values",
}


def _item(values: Tensor | list[str], index: int) -> Any:
    if isinstance(values, list):
        return values[index]
    value = float(values[index])
    return None if value != value else value


def _answers(scores: Tensor, targets: Tensor, excluded: Tensor | None = None) -> dict[str, Tensor]:
    """What a batch of class scores says of the targets, on the CPU."""
    probabilities = scores.double().softmax(1)
    confidence, prediction = probabilities.max(1)
    answers = {
        "prediction": prediction,
        "confidence": confidence,
        "probability": probabilities.gather(1, targets[:, None]).squeeze(1),
        "margin": margins(scores.double(), targets),
    }
    if excluded is not None:
        answers["own_margin"] = margins(scores.double(), targets, excluded)
        answers["donor_probability"] = probabilities.gather(1, excluded[:, None]).squeeze(1)
    return {name: values.cpu() for name, values in answers.items()}


def _add(rows: Sequence[dict[str, Any]], answers: dict[str, Tensor], prefix: str) -> None:
    for name, values in answers.items():
        if prefix and name == "confidence":
            continue
        for row, value in zip(rows, values.tolist(), strict=True):
            row[prefix + name] = value


def _intervene(
    model: AuditedModel,
    batch: Batch,
    plan: Measurement,
    bank: DonorBank,
    rows: list[dict[str, Any]],
    images: Tensor,
    foreground: Tensor,
    ignored: Tensor,
    usable: Tensor,
) -> None:
    """Run every experiment on the usable samples, each with a forward pass of the whole batch."""
    chosen = [int(i) for i in usable.nonzero().flatten()]
    kept = [rows[i] for i in chosen]
    images, foreground, ignored = images[chosen], foreground[chosen], ignored[chosen]
    targets = batch.targets.to(model.device)[chosen]
    alone = FILLS[plan.fill](images, hole_of(foreground, ignored))
    _add(kept, _answers(class_scores(model, alone), targets), "background_only_")
    alpha = feather(foreground)
    lone = object_only(images, alpha)
    _add(kept, _answers(class_scores(model, lone), targets), "object_only_")
    draws = [
        bank.draw(
            row["label"],
            row["sha256"],
            donor_seed(plan.seed, row["sample_id"]),
            plan.donors,
        )
        for row in kept
    ]
    for kind in ("same", "other"):
        _swap(model, kept, draws, kind, images, alpha, targets, bank, plan.donors)


def _swap(
    model: AuditedModel,
    rows: list[dict[str, Any]],
    draws: Sequence[Donors],
    kind: str,
    images: Tensor,
    alpha: Tensor,
    targets: Tensor,
    bank: DonorBank,
    donors: int,
) -> None:
    met: list[list[dict[str, Any]]] = [[] for _ in rows]
    for k in range(donors):
        has = [i for i, draw in enumerate(draws) if len(getattr(draw, kind)) > k]
        if not has:
            break
        positions = [getattr(draws[i], kind)[k] for i in has]
        donor_labels = torch.from_numpy(bank.labels[positions]).to(model.device)
        swapped = paste(images[has], alpha[has], bank.fetch(positions, model.device))
        answers = _answers(class_scores(model, swapped), targets[has], donor_labels)
        for j, i in enumerate(has):
            met[i].append({name: values[j].item() for name, values in answers.items()})
            met[i][-1]["donor_label"] = int(bank.labels[positions[j]])
            met[i][-1]["donor_row"] = int(bank.rows[positions[j]])
    for row, answered in zip(rows, met, strict=True):
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

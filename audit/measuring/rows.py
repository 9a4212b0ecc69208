"""One batch measured: the model's answers, the maps' scores, the experiments, as rows."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from audit.dataset.batches import Batch, sample_seed, to_float
from audit.interventions import dilate, hole_radius, ring_of_doubt
from audit.measuring.donors import DonorBank
from audit.measuring.experiments import Measurement, Subjects, add, answers, experiment
from audit.models import AuditedModel
from audit.saliency import explain, explain_and_answer
from audit.scoring import (
    NOT_FINITE,
    SCORED,
    UNREADABLE,
    foreground_area,
    foreground_mass,
    mass_lift,
    score_maps,
)

__all__ = ["Measurement", "maps_of", "measure_batch", "unreadable_rows"]


def maps_of(model: AuditedModel, batch: Batch, plan: Measurement) -> Tensor:
    """Saliency maps ``(N, H, W)`` of a batch; the same for an image wherever it stands."""
    images = to_float(batch.images.to(model.device))
    maps, _ = explain(
        model,
        images,
        batch.targets.to(model.device),
        method=plan.method,
        target=plan.target,
        seeds=_seeds(batch, plan),
    )
    return maps


def _seeds(batch: Batch, plan: Measurement) -> list[int]:
    return [sample_seed(plan.seed, sample_id, "saliency") for sample_id in batch.ids]


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
    maps, scores = explain_and_answer(
        model,
        images,
        targets,
        method=plan.method,
        target=plan.target,
        seeds=_seeds(batch, plan),
    )
    rows = [_identity(batch, index) for index in range(len(batch))]
    add(rows, answers(scores, targets), "")
    finite = scores.isfinite().all(1).cpu()
    foreground = batch.foreground.to(model.device)
    ignored = batch.ignored.to(model.device)
    # The ring counts for neither side of the map; a swap keeps it, since it may be the object.
    doubtful = ignored | ring_of_doubt(foreground, plan.doubt)
    left_out = doubtful if bool(doubtful.any()) else None
    localisation = {
        **score_maps(maps, foreground, left_out),
        **_other_masks(maps, foreground, left_out),
    }
    for index, row in enumerate(rows):
        row.update({name: _item(values, index) for name, values in localisation.items()})
        _settle(row, batch, index, bool(finite[index]))
    usable = batch.foreground.flatten(1).any(1) & finite
    if bank is not None and bool(usable.any()):
        chosen = [int(i) for i in usable.nonzero().flatten()]
        subjects = Subjects(
            [rows[i] for i in chosen],
            images[chosen],
            foreground[chosen],
            ignored[chosen],
            targets[chosen],
        )
        experiment(model, subjects, plan, bank)
    return rows


def _other_masks(
    maps: Tensor, foreground: Tensor, ignored: Tensor | None
) -> dict[str, Tensor | list[str]]:
    """The lift as a narrower and as a wider hand would have drawn the foreground."""
    radius = hole_radius(foreground.shape[-1])
    found: dict[str, Tensor | list[str]] = {}
    for name, mask in (
        ("eroded", ~dilate(~foreground, radius)),
        ("dilated", dilate(foreground, radius) & foreground.flatten(1).any(1)[:, None, None]),
    ):
        mass = foreground_mass(maps, mask, ignored)
        found[f"mass_lift_{name}"] = mass_lift(mass, foreground_area(mask, ignored)).cpu()
    return found


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

"""One batch measured: the model's answers, the maps' scores, the experiments, as rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from torch import Tensor

from audit.dataset.batches import Batch, on_device, taken_from
from audit.findings import Status
from audit.interventions import boundary_band, dilate, removal_radius
from audit.measuring.answers import answers
from audit.measuring.columns import Row
from audit.measuring.device_results import DeviceResults
from audit.measuring.donors import DonorBank
from audit.measuring.experiments import Subjects, add, experiment
from audit.measuring.plan import MeasurementPlan
from audit.models.engine import Engine
from audit.pixels import to_float
from audit.saliency import Explanation, class_scores, explain
from audit.sampling import sample_seed
from audit.scoring import STATUSES, foreground_area, foreground_mass, mass_lift, score_maps


def maps_of(model: Engine, batch: Batch, plan: MeasurementPlan) -> Tensor:
    """Saliency maps ``(N, H, W)`` of a batch; the same for an image wherever it stands."""
    images = to_float(batch.images.to(model.device))
    return _explanation(model, images, batch.targets.to(model.device), batch.ids, plan).maps


def _explanation(
    model: Engine, images: Tensor, targets: Tensor, ids: Sequence[str], plan: MeasurementPlan
) -> Explanation:
    return explain(
        model,
        images,
        targets,
        method=plan.method,
        target=plan.target,
        seeds=[sample_seed(plan.seed, sample_id, "saliency") for sample_id in ids],
    )


Rows = list[Row]


def measure_batch(
    model: Engine, batch: Batch, plan: MeasurementPlan, bank: DonorBank | None
) -> Callable[[], Rows]:
    """Measure a batch; a GPU may still be at work when this returns.

    Parameters
    ----------
    model : Engine
        On any device.
    batch : Batch
        As loaded.
    plan : MeasurementPlan
        What to do.
    bank : DonorBank or None
        None: no swaps, since there are no foregrounds.

    Returns
    -------
    callable
        Waits for the device, then makes a row for each readable sample, keyed by
        :data:`~audit.measuring.columns.SCORE_COLUMNS`.
    """
    if not len(batch):
        return list
    results = DeviceResults()
    images = to_float(on_device(batch.images, model.device))
    targets = on_device(batch.targets, model.device)
    explanation = _explanation(model, images, targets, batch.ids, plan)
    maps, scores = explanation.maps, explanation.scores
    scores = class_scores(model, images) if scores is None else scores
    answered = results.keep(answers(scores, targets) | {"finite": scores.isfinite().all(1)})
    foreground = on_device(batch.foreground, model.device)
    ignored = on_device(batch.ignored, model.device)
    # The ring counts for neither side of the map; a swap keeps it, since it may be the object.
    left_out = None
    if plan.boundary_tolerance or bool(batch.ignored.any()):
        left_out = ignored | boundary_band(foreground, plan.boundary_tolerance)
    localised = results.keep(
        score_maps(maps, foreground, left_out) | _other_masks(maps, foreground, left_out)
    )
    chosen = [
        int(i)
        for i in batch.foreground.flatten(1).any(1).nonzero().flatten()
        if plan.swapped is None or batch.rows[int(i)] in plan.swapped
    ]
    tried: Callable[[], Rows] = list
    if bank is not None and chosen:
        subjects = Subjects(
            [batch.ids[i] for i in chosen],
            [batch.loaded[i].sha256 for i in chosen],
            batch.targets[chosen].tolist(),
            *(taken_from(values, chosen) for values in (images, foreground, ignored, targets)),
        )
        tried = experiment(model, subjects, plan, bank, results)
    results.send()

    return lambda: _rows(batch, chosen, answered(), localised(), tried())


def _rows(
    batch: Batch,
    chosen: Sequence[int],
    answered: dict[str, list[float]],
    numbers: dict[str, list[float]],
    columns: Rows,
) -> Rows:
    """A row a sample: its answer, where its map lies, and what swaps made of the chosen ones."""
    finite = answered.pop("finite")
    made = [_identity(batch, index) for index in range(len(batch))]
    add(made, answered, "")
    for index, row in enumerate(made):
        row.update({name: _item(values[index]) for name, values in numbers.items()})
        status = STATUSES[int(numbers["status"][index])]
        _settle(row, status if finite[index] else Status.NOT_FINITE, batch, index)
    for index, measured in zip(chosen, columns, strict=bool(columns)):
        # What a network answers where it gave NaN before says nothing.
        if finite[index]:
            made[index].update(measured)
    return made


def _other_masks(maps: Tensor, foreground: Tensor, ignored: Tensor | None) -> dict[str, Tensor]:
    """The lift as a narrower and as a wider hand would have drawn the foreground."""
    radius = removal_radius(foreground.shape[-1])
    found: dict[str, Tensor] = {}
    for name, mask in (
        ("eroded", ~dilate(~foreground, radius)),
        ("dilated", dilate(foreground, radius) & foreground.flatten(1).any(1)[:, None, None]),
    ):
        mass = foreground_mass(maps, mask, ignored)
        found[f"mass_lift_{name}"] = mass_lift(mass, foreground_area(mask, ignored))
    return found


def unreadable_rows(batch: Batch, table: Any) -> list[Row]:
    """A row for each sample of a batch that could not be read."""
    rows: list[Row] = []
    for position, error in batch.unreadable:
        sample = table.loc[position]
        rows.append(
            {
                "row": position,
                "sample_id": sample.sample_id,
                "path": sample.sample_id,
                "label": int(sample.label),
                "label_name": sample.label_name,
                "status": Status.UNREADABLE,
                "reason": error.reason,
                "detail": error.detail,
                "notes": [],
            }
        )
    return rows


def position_of(row: Row) -> int:
    """Place of a row in the list of samples, by which the rows of a shard are sorted."""
    return cast(int, row["row"])


def _identity(batch: Batch, index: int) -> Row:
    return {
        "row": batch.rows[index],
        "sample_id": batch.ids[index],
        "path": batch.ids[index],
        "label": int(batch.targets[index]),
        "sha256": batch.loaded[index].sha256,
        "notes": list(batch.loaded[index].notes),
        "label_name": batch.label_names[index],
    }


def _settle(row: Row, status: Status, batch: Batch, index: int) -> None:
    """Name why a sample is not scored, and leave no number that means nothing."""
    row["status"] = status
    row["pointing_hit"] = None if row["pointing_hit"] is None else bool(row["pointing_hit"])
    if status is Status.NOT_FINITE:
        row.update(dict.fromkeys(("prediction", "confidence", "probability", "margin")))
    if status is not Status.SCORED:
        problem = batch.loaded[index].foreground_problem
        row["reason"], _, row["detail"] = problem.partition(": ")
        if not problem or status is Status.NOT_FINITE:
            row["reason"], row["detail"] = status.upper(), _EXPLANATIONS[status]


_EXPLANATIONS = {
    Status.NO_FOREGROUND: "the foreground is empty",
    Status.FULL_FOREGROUND: (
        "the foreground fills the whole input; there is no background to compare"
    ),
    Status.BLANK_MAP: "the saliency map is zero everywhere",
    Status.NOT_FINITE: "the model or the map gave NaN or infinite values",
}


def _item(value: float) -> float | None:
    return None if value != value else value

"""What in one image speaks for one class rather than another, and the other way round."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from audit.dataset.batches import Batch
from audit.findings import Status
from audit.measuring.plan import MeasurementPlan
from audit.models.engine import Engine
from audit.pixels import to_float
from audit.saliency import Against, explain
from audit.sampling import sample_seed


def hardest(rows: pd.DataFrame) -> int | None:
    """The row of the scored image with the lowest margin, the first of several; None without.

    Parameters
    ----------
    rows : DataFrame
        The class's rows of ``scores.parquet``, indexed by their position.
    """
    margin = rows.loc[rows["status"] == Status.SCORED, "margin"].dropna()
    return None if margin.empty else int(margin.index[int(margin.argmin())])


def contrast_maps(
    model: Engine, batch: Batch, plan: MeasurementPlan, label: int, other: int
) -> tuple[Tensor, Tensor]:
    """Explain the difference of two class scores, in both directions.

    Parameters
    ----------
    model : Engine
        On any device.
    batch : Batch
        N images.
    plan : MeasurementPlan
        The run's method and seed.
    label, other : int
        The two classes.

    Returns
    -------
    float32 (N, H, W), float32 (N, H, W)
        What speaks for `label` rather than `other`, and the reverse; on the CPU.
    """
    return _one_way(model, batch, plan, label, other), _one_way(model, batch, plan, other, label)


def _one_way(model: Engine, batch: Batch, plan: MeasurementPlan, label: int, other: int) -> Tensor:
    found = explain(
        Against(model, other),
        to_float(batch.images.to(model.device)),
        torch.full((len(batch),), label, dtype=torch.int64, device=model.device),
        method=plan.method,
        seeds=[sample_seed(plan.seed, sample_id, "saliency") for sample_id in batch.ids],
    )
    return found.maps.cpu()

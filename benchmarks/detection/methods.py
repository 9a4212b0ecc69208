"""Every saliency method as an indicator: mass and lift of the same images by each of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from audit.dataset.batches import iterate_batches
from audit.pipeline.opening import open_session
from audit.pipeline.session import AuditRequest
from audit.pixels import to_float
from audit.saliency import METHODS, explain
from audit.sampling import sample_seed
from audit.scoring import foreground_area, foreground_mass, mass_lift

TARGETED = ("logit", "contrast")


def measure_methods(manifest: Path, run: Path) -> pd.DataFrame:
    """Mean mass and lift of each class by each method and target, kept in ``methods.parquet``.

    Returns
    -------
    DataFrame
        ``label`` and, for each method and target, ``mass <method> <target>`` and ``lift ...``.
    """
    kept = run / "methods.parquet"
    if kept.exists():
        return pd.read_parquet(kept)
    session = open_session(AuditRequest(str(manifest), str(run), device="cpu"))
    parts = []
    with session.loader as loader:
        for batch in iterate_batches(session.table, loader, 32):
            images, foreground = to_float(batch.images), batch.foreground
            area = foreground_area(foreground)
            columns: dict[str, torch.Tensor] = {"label": batch.targets}
            for name, method in METHODS.items():
                for target in TARGETED:
                    maps = explain(
                        session.engine,
                        images,
                        batch.targets,
                        method=method,
                        target=target,
                        seeds=[sample_seed(0, one, "saliency") for one in batch.ids],
                    ).maps
                    mass = foreground_mass(maps, foreground)
                    columns[f"mass {name} {target}"] = mass
                    columns[f"lift {name} {target}"] = mass_lift(mass, area)
            parts.append(pd.DataFrame({name: held.numpy() for name, held in columns.items()}))
    table = pd.concat(parts).groupby("label").mean().reset_index()
    table.to_parquet(kept)
    return table

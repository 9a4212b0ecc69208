"""The audits of a world: the tool on its files, by the masks of every hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from audit.pipeline.session import AuditRequest
from benchmarks.detection.audits import run_steps
from benchmarks.photographs.files import estimate_masks, manifest
from benchmarks.photographs.hands import ESTIMATED, HANDS

VARIANTS = (
    (20, "exact"),
    (30, "exact"),
    (50, "exact"),
    (20, ESTIMATED),
    *((20, hand) for hand in HANDS if hand != "exact"),
)
"""Images a class, and who drew the masks."""


def audit_world(folder: Path, world: dict[str, Any], size: int, hand: str) -> None:
    """Audit a world once, unless that was done."""
    run = folder / "runs" / f"{size}-{hand}"
    if (run / "findings.json").exists():
        return
    if hand == ESTIMATED:
        estimate_masks(folder, size)
    path = manifest(folder, world, size, hand)
    run_steps(AuditRequest(str(path), str(run), device="cpu"))


def class_rows(folder: Path) -> dict[str, Any]:
    """Truth and findings of every class by size and hand, as plain values."""
    world = json.loads((folder / "world.json").read_text())
    truth = pd.DataFrame(world.pop("classes")).rename(columns={"name": "label_name"})
    truth["planted"] = truth.pop("cue").map(lambda cue: cue is not None)
    audits = {}
    for run in sorted((folder / "runs").glob("*-*")):
        if (run / "classes.parquet").exists():
            found = pd.read_parquet(run / "classes.parquet")
            both = found.merge(truth.drop(columns="label"), on="label_name")
            audits[run.name] = json.loads(both.to_json(orient="records"))
    return world | {"audits": audits}

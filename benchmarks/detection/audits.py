"""The audits of a world: the tool's own steps on its files, and what each witness says."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from audit.manifest import load_manifest
from audit.pipeline import decide, measure, prepare
from audit.pipeline.session import AuditRequest
from benchmarks.detection.files import manifest

VARIANTS = ((20, "exact"), (20, "box"), (20, "dilated"), (10, "exact"), (50, "exact"))
"""Images a class, and the hand that drew the masks."""


def run_steps(request: AuditRequest) -> pd.DataFrame:
    """Score, look again and decide; returns ``classes.parquet``."""
    shards = prepare.prepare(request)
    measure.gather_donors(request)
    for shard in range(shards):
        measure.score(request, shard)
    measure.gather_scores(request)
    measure.look_again(request)
    declared = load_manifest(request.manifest, request.overrides)
    decide.decide_classes(request.run, declared)
    return pd.read_parquet(request.run.classes)


def audit_world(folder: Path, world: dict[str, Any], size: int, quality: str) -> Path:
    """Audit a world once, unless that was done; returns the run folder."""
    run = folder / "runs" / f"{size}-{quality}"
    if not (run / "findings.json").exists():
        path = manifest(folder, world["architecture"], size, quality)
        request = AuditRequest(str(path), str(run), device="cpu")
        run_steps(request)
        shutil.rmtree(run / "donors", ignore_errors=True)
    return run

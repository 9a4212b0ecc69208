"""The audits of a world: the tool's own steps on its files, and what each indicator says."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from audit.pipeline import measure
from audit.pipeline.compose import compose
from audit.pipeline.decide import decide
from audit.pipeline.follow_up import follow_up
from audit.pipeline.masks import look_at_masks
from audit.pipeline.more_images import measure_more_images
from audit.pipeline.opening import open_session
from audit.pipeline.prepare import prepare
from audit.pipeline.second_outlines import measure_second_outlines
from audit.pipeline.session import AuditRequest
from benchmarks.detection.files import manifest

VARIANTS = ((20, "exact"), (20, "box"), (20, "dilated"), (10, "exact"), (50, "exact"))
"""Images a class, and the hand that drew the masks."""


def run_steps(request: AuditRequest) -> pd.DataFrame:
    """All steps of measuring and the decision; returns ``classes.parquet``."""
    session = open_session(request)
    prepare(session)
    look_at_masks(session)
    for shard in range(session.shards):
        measure.score(session, shard)
    measure.gather_scores(session)
    follow_up(session)
    measure_more_images(session)
    measure_second_outlines(session)
    compose(session.run, decide(session.run, session.manifest))
    return pd.read_parquet(session.run.classes)


def audit_world(folder: Path, world: dict[str, Any], size: int, quality: str) -> Path:
    """Audit a world once, unless that was done; returns the run folder."""
    run = folder / "runs" / f"{size}-{quality}"
    if not (run / "findings.json").exists():
        path = manifest(folder, world["architecture"], size, quality)
        request = AuditRequest(str(path), str(run), device="cpu")
        run_steps(request)
        shutil.rmtree(run / "donors", ignore_errors=True)
    return run

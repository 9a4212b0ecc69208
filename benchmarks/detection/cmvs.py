"""The class model visualizations of a world as an indicator: how much of them is background."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from audit.cmv import Cmv, CmvRequest, visualize_classes
from audit.cues.cmv_alignment import cmv_alignment
from audit.pipeline.opening import open_session
from audit.pipeline.session import AuditRequest
from audit.verdicts.cmv_share import background_shares


def measure_cmvs(manifest: Path, run: Path) -> pd.DataFrame:
    """``cmv_background_share`` of each class with its interval, kept in ``cmv_share.parquet``.

    Returns
    -------
    DataFrame
        ``label``, the share with ``_low`` and ``_high``, ``cmv_failed`` and ``cmv_robust``. Also
        for CMVs that failed, so that it can be seen what they are worth.
    """
    kept = run / "cmv_share.parquet"
    if kept.exists():
        return pd.read_parquet(kept)
    session = open_session(AuditRequest(str(manifest), str(run), device="cpu"))
    seed = session.manifest.run.seed
    made: dict[int, Cmv] = {
        c.label: c
        for c in visualize_classes(session.engine, sorted(session.labels), CmvRequest(seed=seed))
    }
    with session.workbench() as bench:
        rows = list(session.table.index)
        found = cmv_alignment(rows, {label: c.image for label, c in made.items()}, bench)
    facts = pd.DataFrame(
        [(k, bool(c.failure), c.robust_probability) for k, c in made.items()],
        columns=["label", "cmv_failed", "cmv_robust"],
    )
    shares = background_shares(found, seed)
    names = [f"cmv_background_share{end}" for end in ("", "_low", "_high")]
    told = pd.DataFrame(
        [(label, share.value, share.low, share.high) for label, share in shares.items()],
        columns=["label", *names],
    )
    table = facts.merge(told, on="label", how="left")
    table.to_parquet(kept)
    return table

"""Nights of one audit for tests: scores whose losses are known, and the record that follows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from record import finding, findings

from audit.findings import (
    AuditFacts,
    Hashes,
    RunFacts,
    RunStatus,
    Verdict,
    write_facts,
    write_findings,
)
from audit.history.compare import Measured
from audit.run_folder import RunFolder

CLASSES = ("ant", "bee", "cat", "dog")
S, W, U, C = Verdict.SUSPECT, Verdict.WATCH, Verdict.INCONCLUSIVE, Verdict.CLEAR


def facts(**more: Any) -> RunFacts:
    held: dict[str, Any] = {
        "status": RunStatus.COMPLETE,
        "name": "farm",
        "run_id": "one",
        "started": "2026-11-26T00:00:00Z",
        "fingerprint": "0" * 64,
        "shard_size": 1024,
        "device": "cpu",
        "seed": 0,
        "precision": "float32",
        "versions": {},
        "hashes": Hashes(model="a" * 64),
        "class_names": CLASSES,
        "labels": dict(enumerate(CLASSES)),
        "foreground_source": "mask_file",
        "model_name": "resnet18",
        "settings": {"fill": "inpaint", "donors per image": 4, "input side": 224},
    }
    return RunFacts(**{**held, **more})


def rows(
    gaps: Mapping[str, float], *, seed: int = 0, first: int = 0, images: int = 40
) -> pd.DataFrame:
    """Scores in which the classes lose so much: images have losses of their own, so have draws."""
    found = []
    for name, gap in gaps.items():
        for number in range(first, first + images):
            own = np.random.default_rng([CLASSES.index(name), number])
            drawn = np.random.default_rng([CLASSES.index(name), number, seed])
            lost = gap + own.normal(0, 0.05) + drawn.normal(0, 0.02, 4)
            found.append(
                {
                    "sample_id": f"{name}/{number}",
                    "sha256": f"{name}{number}",
                    "label": CLASSES.index(name),
                    "label_name": name,
                    "margin": 1.0,
                    "foreground_area": 0.25,
                    "swap_same_margin": 1.0,
                    "swap_other_margin": 1.0 - lost.mean(),
                    "swap_other_own_margin": 1.0 - lost.mean(),
                    "swap_same_probability": 0.9,
                    "swap_other_probability": 0.9 - lost.mean(),
                    "swap_same_probabilities": np.full(4, 0.9),
                    "swap_other_probabilities": 0.9 - lost,
                }
            )
    return pd.DataFrame(found)


def run(
    gaps: Mapping[str, float],
    verdicts: Mapping[str, Verdict] = MappingProxyType({}),
    *,
    of: RunFacts | None = None,
    **how: Any,
) -> Measured:
    """A run in which who loses 0.10 or more is suspect, unless the verdict is given."""
    scores = rows(gaps, **how)
    classes = []
    for name in gaps:
        lost = scores.loc[scores["label_name"] == name]
        gap = float((lost["swap_same_probability"] - lost["swap_other_probability"]).mean())
        verdict = verdicts.get(name, S if gap >= 0.10 else C)
        classes.append(finding(name, verdict, label=CLASSES.index(name), background_gap=gap))
    return Measured("night", of or facts(), findings(*classes), scores)


def write_night(
    path: Path,
    gaps: Mapping[str, float],
    *,
    started: int,
    model: str = "a",
    name: str = "farm",
    status: str = "complete",
    gate: str = "never",
    **how: Any,
) -> RunFolder:
    """A run folder with scores and record, of a night of November."""
    stamp = f"2026-11-{started:02d}T00:00:00Z"
    told = facts(
        name=name,
        status=status,
        started=stamp,
        run_id=f"{stamp}-{path.name}",
        hashes=Hashes(model=model * 64),
    )
    held, folder = run(gaps, of=told, **how), RunFolder(path)
    path.mkdir()
    write_facts(folder.run_json, told)
    record = held.findings
    of = AuditFacts(name=name, dataset="images", model="resnet18", foreground="mask_file")
    summary = record.summary.model_copy(update={"gate": gate})
    write_findings(folder.findings, record.model_copy(update={"audit": of, "summary": summary}))
    held.scores.to_parquet(folder.scores)
    return folder

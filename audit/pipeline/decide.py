"""The steps that need no model: findings from stored scores, and what closes a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from audit.cues.swap_matrix import busiest, whose_background
from audit.manifest import Manifest
from audit.measuring.collect import inert
from audit.pipeline.mean_maps import mean_maps
from audit.pipeline.measure import timed
from audit.pipeline.prepare import now
from audit.run_folder import RunFolder, write_atomically, write_json
from audit.verdicts.cmv_share import (
    PICTURED,
    SHARE_COLUMNS,
    background_shares,
    pictured_witness,
)
from audit.verdicts.decide import INCONCLUSIVE
from audit.verdicts.effects import confusions
from audit.verdicts.evidence import CLASS_COLUMNS, find, plain, write_down


def decide_classes(run: RunFolder, manifest: Manifest) -> dict[str, Any]:
    """Turn the stored scores into findings; loads no model. Returns the summary.

    Exhibits, cues and CMVs that were drawn before stay with their classes.
    """
    facts = run.read_run()
    class_names = facts["class_names"]
    labels = {int(index): name for index, name in facts["labels"].items()}
    scores = pd.read_parquet(run.scores)
    has_foregrounds = facts["foreground_source"] != "none"
    with timed(run, "verdicts"):
        second = pd.read_parquet(run.follow_up) if run.follow_up.exists() else None
        table = find(scores, manifest, labels, class_names, has_foregrounds, second)
        confused = confusions(scores, class_names)
        backgrounds = whose_background(scores, labels)
        checks = json.loads(run.controls.read_text()) if run.controls.exists() else None
        written = write_down(
            table,
            scores,
            manifest,
            confused,
            facts["foreground_source"],
            facts["model_name"],
            checks,
        )
    written["whose_background"] = plain(busiest(backgrounds))
    kept = table[list(CLASS_COLUMNS)]
    write_atomically(run.classes, lambda temporary: kept.to_parquet(temporary, index=False))
    write_atomically(run.classes_csv, lambda temporary: _to_csv(kept, temporary))
    write_atomically(run.confusions, lambda temporary: confused.to_parquet(temporary, index=False))
    write_atomically(run.whose_background, lambda path: backgrounds.to_parquet(path, index=False))
    write_json(run.findings, written)
    summary: dict[str, Any] = written["summary"]
    return summary


def _to_csv(table: pd.DataFrame, path: Any) -> None:
    shown = table.assign(reasons=[" ".join(said) for said in table["reasons"]])
    shown.map(inert).to_csv(path, index=False, lineterminator="\n")


def compose(run: RunFolder) -> None:
    """Lay exhibits, cues and CMVs, where they were drawn, into ``findings.json``."""
    written = read_findings(run)
    shares = _lay_in_shares(run)
    exhibits, cues, cmvs = (_index(folder) for folder in (run.exhibits, run.cues, run.cmv))
    averaged = mean_maps(run)
    for finding in written["findings"]:
        finding |= averaged.get(finding["label"], {})
        finding["exhibits"] = exhibits.get(finding["label"], [])
        finding["cues"] = next(iter(cues.get(finding["label"], [])), None)
        finding["cmv"] = cmvs.get(finding["label"], [])
        _add_witness(finding, shares.get(finding["label"]))
    write_json(run.findings, written)


def _lay_in_shares(run: RunFolder) -> dict[int, dict[str, float]]:
    """Put how much of each CMV is background into the classes' table; returns it by label."""
    if not run.likenesses.exists():
        return {}
    shares = background_shares(pd.read_parquet(run.likenesses), run.read_run().get("seed") or 0)
    by_label = shares.set_index("label")
    table = pd.read_parquet(run.classes)
    for name in SHARE_COLUMNS:
        table[name] = table["label"].map(by_label[name]).astype("float64")
    write_atomically(run.classes, lambda temporary: table.to_parquet(temporary, index=False))
    write_atomically(run.classes_csv, lambda temporary: _to_csv(table, temporary))
    found: dict[int, dict[str, float]] = by_label.to_dict("index")
    return found


def _add_witness(finding: dict[str, Any], share: dict[str, float] | None) -> None:
    kept = [w for w in finding["witnesses"] if w["name"] != PICTURED]
    finding |= plain(share or dict.fromkeys(SHARE_COLUMNS))
    witness = pictured_witness(share) if share and finding["verdict"] != INCONCLUSIVE else None
    finding["witnesses"] = [*kept, *([plain(witness)] if witness else [])]


def _index(folder: Path) -> dict[int, list[dict[str, Any]]]:
    """The entries of a folder's index, by label."""
    path = folder / "index.json"
    by_label: dict[int, list[dict[str, Any]]] = {}
    for entry in json.loads(path.read_text(encoding="utf-8")) if path.exists() else []:
        by_label.setdefault(entry["label"], []).append(entry)
    return by_label


def read_findings(run: RunFolder) -> dict[str, Any]:
    """What ``findings.json`` holds."""
    written: dict[str, Any] = json.loads(run.findings.read_text(encoding="utf-8"))
    return written


def mark_failed(run: RunFolder) -> None:
    """Say in ``run.json`` that the run ended early, where there is one to say it in."""
    if run.run_json.exists():
        run.update_run(status="failed", finished=now())


def finish(run: RunFolder, summary: dict[str, Any]) -> None:
    """Close the run: it is complete, or finished but incomplete."""
    shutil.rmtree(run.donors, ignore_errors=True)
    run.update_run(
        status="complete" if summary["complete"] else "incomplete",
        finished=now(),
        summary=plain(summary),
    )

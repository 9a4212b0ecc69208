"""Verdicts, exhibits, cues and CMVs laid together, and written: each file once, at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from audit.measuring.collect import inert
from audit.pipeline.decide import Decided
from audit.pipeline.mean_maps import mean_maps
from audit.run_folder import RunFolder, write_atomically, write_json
from audit.verdicts.cmv_share import SHARE_COLUMNS, background_shares, pictured_witness
from audit.verdicts.decide import INCONCLUSIVE
from audit.verdicts.evidence import plain

Findings = dict[str, Any]
"""What ``findings.json`` holds."""


def compose(run: RunFolder, decided: Decided) -> Findings:
    """Write the tables of the classes and ``findings.json``, with all that was drawn of them."""
    shares = _shares(run)
    table = decided.table.assign(
        **{
            name: decided.table["label"].map({k: s[name] for k, s in shares.items()}).astype(float)
            for name in SHARE_COLUMNS
        }
    )
    exhibits, cues, cmvs = (_index(folder) for folder in (run.exhibits, run.cues, run.cmv))
    averaged = mean_maps(run)
    findings = decided.findings | {
        "findings": [
            finding
            | averaged.get(finding["label"], {})
            | {
                "exhibits": exhibits.get(finding["label"], []),
                "cues": next(iter(cues.get(finding["label"], [])), None),
                "cmv": cmvs.get(finding["label"], []),
            }
            | _share_of(finding, shares.get(finding["label"]))
            for finding in decided.findings["findings"]
        ]
    }
    for path, written in (
        (run.classes, table),
        (run.confusions, decided.confusions),
        (run.whose_background, decided.backgrounds),
    ):
        _write_parquet(written, path)
    write_atomically(run.classes_csv, lambda temporary: _to_csv(table, temporary))
    write_json(run.findings, findings)
    return findings


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    write_atomically(path, lambda temporary: table.to_parquet(temporary, index=False))


def _to_csv(table: pd.DataFrame, path: Path) -> None:
    shown = table.assign(reasons=[" ".join(said) for said in table["reasons"]])
    shown.map(inert).to_csv(path, index=False, lineterminator="\n")


def _shares(run: RunFolder) -> dict[int, dict[str, float]]:
    """How much of each CMV is background, by label, where that was measured."""
    if not run.likenesses.exists():
        return {}
    shares = background_shares(pd.read_parquet(run.likenesses), run.read_run().get("seed") or 0)
    found: dict[int, dict[str, float]] = shares.set_index("label").to_dict("index")
    return found


def _share_of(finding: Mapping[str, Any], share: dict[str, float] | None) -> dict[str, Any]:
    said: dict[str, Any] = plain(share or dict.fromkeys(SHARE_COLUMNS))
    witness = pictured_witness(share) if share and finding["verdict"] != INCONCLUSIVE else None
    return said | {"witnesses": [*finding["witnesses"], *([plain(witness)] if witness else [])]}


def _index(folder: Path) -> dict[int, list[dict[str, Any]]]:
    """The entries of a folder's index, by label."""
    path = folder / "index.json"
    by_label: dict[int, list[dict[str, Any]]] = {}
    for entry in json.loads(path.read_text(encoding="utf-8")) if path.exists() else []:
        by_label.setdefault(entry["label"], []).append(entry)
    return by_label


def read_findings(run: RunFolder) -> Findings:
    """What ``findings.json`` holds."""
    written: Findings = json.loads(run.findings.read_text(encoding="utf-8"))
    return written


def failed_controls(findings: Findings) -> list[str]:
    """A sentence for each check of itself that a run did not pass."""
    return [
        f"{control['name']} failed: expected {control['expected']}, found {control['found']}."
        for control in findings["controls"]
        if control["passed"] is False
    ]

"""Verdicts, exhibits, cues and CMVs laid together, and written: each file once, at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa

from audit.findings import (
    ClassFinding,
    CmvEntry,
    Cues,
    Exhibit,
    Findings,
    MeanMap,
    read_facts,
    read_index,
    write_findings,
)
from audit.measuring.collect import inert
from audit.measuring.columns import write_table
from audit.pipeline.compare import with_history
from audit.pipeline.decide import Decided
from audit.pipeline.mean_maps import read_mean_maps
from audit.report.sentences import english
from audit.run_folder import RunFolder
from audit.secrets import guarded
from audit.verdicts.find import with_cmv_shares
from audit.verdicts.tables import class_table
from audit.writing import write_atomically

E = TypeVar("E", Exhibit, Cues, CmvEntry, MeanMap)


def compose(run: RunFolder, decided: Decided) -> Findings:
    """Write the tables of the classes and ``findings.json``, with all that was drawn of them."""
    classes = decided.findings.findings
    if run.cmv_alignment.exists():
        seed = read_facts(run.run_json).seed
        classes = with_cmv_shares(classes, pd.read_parquet(run.cmv_alignment), seed)
    findings = with_history(run, decided.findings.with_classes(_with_all_drawn(run, classes)))
    table = class_table(findings.findings, findings.run_id, english)
    write_table(run.classes, table)
    write_table(run.confusions, decided.confusions)
    write_table(run.swap_matrix, decided.swap_counts)
    write_atomically(run.classes_csv, lambda temporary: _to_csv(table, temporary))
    write_findings(run.findings, findings)
    return findings


def _with_all_drawn(run: RunFolder, classes: Iterable[ClassFinding]) -> tuple[ClassFinding, ...]:
    exhibits = _by_label(read_index(run.exhibits / "index.json", Exhibit))
    cues = _by_label(read_index(run.cues / "index.json", Cues))
    cmvs = _by_label(read_index(run.cmv / "index.json", CmvEntry))
    averaged = read_mean_maps(run)
    return tuple(
        finding.with_evidence(
            exhibits=exhibits.get(finding.label, ()),
            cues=next(iter(cues.get(finding.label, ())), None),
            cmv=cmvs.get(finding.label, ()),
            mean_map=averaged.get(finding.label),
        )
        for finding in classes
    )


def _by_label(entries: Iterable[E]) -> Mapping[int, tuple[E, ...]]:
    found: dict[int, tuple[E, ...]] = defaultdict(tuple)
    for entry in entries:
        found[entry.label] += (entry,)
    return found


def _to_csv(table: pa.Table, path: Path) -> None:
    shown = table.to_pandas()
    for column in ("reasons", "reason_codes"):
        shown[column] = shown[column].map(" ".join)
    shown.map(_safe).to_csv(path, index=False, lineterminator="\n")


def _safe(value: Any) -> Any:
    """A cell that no spreadsheet runs, and that holds no key and nobody's home."""
    return inert(guarded(value)) if isinstance(value, str) else value

"""``history.parquet`` beside the runs: a row a run and class, and what of it a report draws."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audit.findings import Estimate, Findings, RunFacts, Trend, TrendPoint, Verdict
from audit.measuring.columns import write_table

HISTORY_COLUMNS: Final = pa.schema(
    [
        ("audit", pa.string()),
        ("run_id", pa.string()),
        ("folder", pa.string()),  # its name; runs may have been removed since
        ("started", pa.string()),  # UTC
        ("model", pa.string()),  # sha256 of the weights
        ("data", pa.string()),  # sha256 over all images
        ("label_name", pa.string()),
        ("verdict", pa.string()),
        ("background_gap", pa.float64()),
        ("background_gap_low", pa.float64()),
        ("background_gap_high", pa.float64()),
        ("images", pa.int64()),
        ("change", pa.string()),  # since the run before; null where there was none
        ("waiting", pa.bool_()),  # suspect, and to be confirmed by another audit
    ]
)
"""Of ``history.parquet``."""
POINTS = 30
"""The latest runs that a report draws."""
_log = logging.getLogger(__name__)


def history_rows(folder: str, facts: RunFacts, findings: Findings) -> list[dict[str, object]]:
    """The rows of one run."""
    comparison = findings.comparison
    changes = {one.label_name: one.change.value for one in comparison.classes} if comparison else {}
    return [
        {
            "audit": facts.name,
            "run_id": facts.run_id,
            "folder": folder,
            "started": facts.started,
            "model": facts.hashes.model,
            "data": facts.hashes.data,
            "label_name": finding.label_name,
            "verdict": finding.verdict.value,
            "background_gap": finding.background_gap,
            "background_gap_low": finding.background_gap_low,
            "background_gap_high": finding.background_gap_high,
            "images": finding.images,
            "change": changes.get(finding.label_name),
            "waiting": finding.label_name in findings.waiting,
        }
        for finding in findings.findings
    ]


def read_history(path: Path) -> pd.DataFrame:
    """All rows, the oldest run first; a file that is not ours counts as none, with a warning."""
    if not path.is_file():
        return pd.DataFrame(columns=HISTORY_COLUMNS.names)
    try:
        table = pq.read_table(path)
        if "waiting" not in table.column_names:
            # Of a version that had no such word; nothing waited.
            table = table.append_column("waiting", pa.array([False] * len(table)))
        table = table.select(HISTORY_COLUMNS.names).cast(HISTORY_COLUMNS)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        _log.warning("%s: cannot be read (%s); it is written anew", path.name, type(error).__name__)
        return pd.DataFrame(columns=HISTORY_COLUMNS.names)
    history: pd.DataFrame = table.to_pandas()
    return history


def record_runs(path: Path, rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Lay the rows of some runs over the history and write it; what others wrote is kept.

    Returns
    -------
    DataFrame
        As :func:`laid_over`.
    """
    joined = laid_over(read_history(path), rows)
    write_table(path, pa.Table.from_pandas(joined, HISTORY_COLUMNS, preserve_index=False))
    return joined


def laid_over(history: pd.DataFrame, rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """The history with the rows of some runs in place of what it held of them.

    Returns
    -------
    DataFrame
        All of it, the oldest run first.
    """
    added = pd.DataFrame(list(rows), columns=HISTORY_COLUMNS.names)
    kept = history[~history["run_id"].isin(set(added["run_id"]))]
    joined = added if kept.empty else pd.concat([kept, added], ignore_index=True)
    return joined.sort_values(["started", "run_id"], kind="stable").reset_index(drop=True)


def trends(history: pd.DataFrame, facts: RunFacts) -> tuple[Trend, ...]:
    """The gap of each class over the latest runs of an audit, this run last.

    Parameters
    ----------
    history : DataFrame
        From :func:`record_runs`.
    facts : RunFacts
        Of the run that is reported; later ones are left out.
    """
    own = history[(history["audit"] == facts.name) & (history["started"] <= facts.started)]
    runs = own.drop_duplicates("run_id").tail(POINTS)
    changed = runs[["model", "data"]].ne(runs[["model", "data"]].shift()).iloc[1:]
    differs = {
        run_id: (bool(model), bool(data))
        for run_id, model, data in zip(
            runs["run_id"].iloc[1:], changed["model"], changed["data"], strict=True
        )
    }
    shown = own[own["run_id"].isin(set(runs["run_id"]))]
    return tuple(
        Trend(label_name=str(name), points=tuple(_points(rows, differs)))
        for name, rows in shown.groupby("label_name", sort=False)
    )


def _points(rows: pd.DataFrame, differs: Mapping[str, tuple[bool, bool]]) -> Iterable[TrendPoint]:
    for row in rows.itertuples():
        model, images = differs.get(str(row.run_id), (False, False))
        yield TrendPoint(
            started=str(row.started),
            verdict=Verdict(str(row.verdict)),
            gap=Estimate.model_validate(
                {
                    "value": row.background_gap,
                    "low": row.background_gap_low,
                    "high": row.background_gap_high,
                }
            ),
            model_changed=model,
            images_changed=images,
            waiting=bool(row.waiting),
        )

"""From parts to tables: all scores in one file, and every problem by name."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from audit.dataset.sample_table import printable
from audit.dataset.samples import Skipped
from audit.findings import Counts, Status
from audit.measuring.columns import SCORE_COLUMNS
from audit.measuring.parts import Part
from audit.run_folder import RunFolder
from audit.secrets import guarded
from audit.writing import write_atomically

ROW_GROUP = 65_536
PROBLEM_COLUMNS = ("sample_id", "path", "label_name", "reason", "detail", "kind")

_REJECTED = (Status.UNREADABLE, Status.NOT_FINITE)


@dataclass(frozen=True)
class Collected:
    """What was counted on the way.

    Parameters
    ----------
    counts : Counts
        Of samples.
    data : str
        A sha256 over the hashes of all images, in whatever order they are listed.
    """

    counts: Counts
    data: str


def collect(run: RunFolder, parts: Sequence[Part], skipped: Sequence[Skipped]) -> Collected:
    """Join the parts into ``scores.parquet`` and write ``problems.csv``.

    The bytes depend on the rows alone, not on how they were sharded; nothing larger than a row
    group is held in memory.

    Parameters
    ----------
    run : RunFolder
        Where the tables go.
    parts : sequence of Part
        All of the run.
    skipped : sequence of Skipped
        What the reader left out.

    Returns
    -------
    Collected
        What was counted.

    Raises
    ------
    AuditError
        A part is missing, damaged, or that of other rows.
    """

    def write(temporary: Path) -> None:
        with pq.ParquetWriter(temporary, SCORE_COLUMNS) as writer:
            for table in _regrouped(parts):
                writer.write_table(table)

    write_atomically(run.scores, write)
    counts = {"found": 0, "scored": 0, "noted": 0, "rejected": 0, "skipped": len(skipped)}
    contents: list[str] = []

    def rows() -> Iterator[dict[str, str]]:
        for row in _rows(run.scores):
            contents.append(str(row["sha256"]))
            counts["found"] += 1
            counts["scored"] += row["status"] == Status.SCORED
            problems = list(problems_of(row))
            counts["rejected"] += any(p["kind"] == "rejected" for p in problems)
            counts["noted"] += bool(problems) and row["status"] not in _REJECTED
            yield from problems
        for item in skipped:
            yield _skipped_row(item)

    write_problems(run.problems, rows())
    together = hashlib.sha256("".join(sorted(contents)).encode())
    return Collected(Counts(**counts), together.hexdigest())


def _regrouped(parts: Sequence[Part]) -> Iterator[pa.Table]:
    """The rows of all parts in tables of exactly :data:`ROW_GROUP` rows, but for the last."""
    waiting = SCORE_COLUMNS.empty_table()
    for part in parts:
        waiting = pa.concat_tables([waiting, part.scores()])
        while len(waiting) >= ROW_GROUP:
            yield waiting.slice(0, ROW_GROUP).combine_chunks()
            waiting = waiting.slice(ROW_GROUP)
    yield waiting.combine_chunks()


class Scored(TypedDict):
    """What problems are told by."""

    sample_id: str
    path: str
    label_name: str
    status: str
    reason: str | None
    detail: str | None
    notes: list[str] | None
    sha256: str | None


def _rows(path: Path) -> Iterator[Scored]:
    columns = ["sample_id", "path", "label_name", "status", "reason", "detail", "notes", "sha256"]
    with pq.ParquetFile(path) as opened:
        for batch in opened.iter_batches(columns=columns):
            yield from batch.to_pylist()


def problems_of(row: Scored) -> Iterator[dict[str, str]]:
    """What ``problems.csv`` says of one row of the scores: its status, then its notes."""
    shown = {key: row[key] for key in ("sample_id", "path", "label_name")}
    if row["status"] != Status.SCORED:
        kind = "rejected" if row["status"] in _REJECTED else "noted"
        yield {**shown, "reason": row["reason"] or "", "detail": row["detail"] or "", "kind": kind}
    for note in row["notes"] or []:
        yield {**shown, "reason": note, "detail": "", "kind": "noted"}


def _skipped_row(item: Skipped) -> dict[str, str]:
    return {
        "sample_id": "",
        "path": printable(item.path),
        "label_name": printable(item.label_name),
        "reason": item.reason,
        "detail": item.detail,
        "kind": "skipped",
    }


def write_problems(path: Path, rows: Iterable[dict[str, str]]) -> None:
    """Write the list of problems as CSV that no spreadsheet executes."""

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.DictWriter(opened, PROBLEM_COLUMNS, lineterminator="\n")
            writer.writeheader()
            for row in rows:
                hidden = {name: guarded(row[name]) for name in ("label_name", "detail")}
                writer.writerow({name: inert(value) for name, value in (row | hidden).items()})

    write_atomically(path, write)


def inert(value: Any) -> Any:
    """Put an apostrophe before text that a spreadsheet would take for a formula.

    Examples
    --------
    >>> inert("=1+1"), inert("wolf"), inert(-0.5)
    ("'=1+1", 'wolf', -0.5)
    """
    if not isinstance(value, str):
        return value
    return re.sub(r"^(?=\s*[=+\-@\t\r])", "'", value, flags=re.MULTILINE)

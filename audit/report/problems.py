"""The samples that were left out or degraded: counts of all, the first rows in full."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from audit.errors import ReportError
from audit.report.untrusted import clean_text, discreet, discreet_name

ROWS_SHOWN = 50
KINDS = ("rejected", "skipped", "noted")
"""What became of an entry; in the order in which a reader should meet them."""


@dataclass(frozen=True)
class Problem:
    """One row of ``problems.csv``; `kind` is ``noted``, ``rejected`` or ``skipped``.

    `image` is the sample's id, or the path of what never became a sample and was skipped.
    """

    image: str
    name: str
    reason: str
    detail: str
    kind: str


@dataclass(frozen=True)
class Problems:
    """The first rows, and the counts of all: (kind, reason, images)."""

    rows: tuple[Problem, ...]
    by_reason: tuple[tuple[str, str, int], ...]
    total: int


def read_problems(path: Path) -> Problems:
    """Read ``problems.csv`` row by row, whatever its length.

    Parameters
    ----------
    path : Path
        Where it is missing, no sample had a problem.

    Raises
    ------
    ReportError
        It is there and no CSV.
    """
    counts: Counter[tuple[str, str]] = Counter()
    rows: list[Problem] = []
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as lines:
            for row in csv.DictReader(lines):
                problem = _problem(row)
                counts[problem.kind, problem.reason] += 1
                if len(rows) < ROWS_SHOWN:
                    rows.append(problem)
    except FileNotFoundError:
        return Problems((), (), 0)
    except (OSError, csv.Error) as error:
        raise ReportError(f"{path.name}: cannot be read ({error.__class__.__name__})") from error
    ordered = sorted(counts.items(), key=lambda item: (KINDS.index(item[0][0]), -item[1], item[0]))
    by_reason = tuple((kind, reason, n) for (kind, reason), n in ordered)
    return Problems(tuple(rows), by_reason, sum(counts.values()))


def _problem(row: dict[str, str | None]) -> Problem:
    # A spreadsheet's guard against formulas is no part of the text.
    cells = {key: (value or "").removeprefix("'") for key, value in row.items() if key}
    return Problem(
        image=discreet(cells.get("sample_id") or cells.get("path", ""), 160),
        name=discreet_name(cells.get("label_name", "")),
        reason=clean_text(cells.get("reason", ""), 60) or "unknown",
        detail=discreet(cells.get("detail", ""), 240),
        kind=kind if (kind := cells.get("kind", "")) in KINDS else "rejected",
    )

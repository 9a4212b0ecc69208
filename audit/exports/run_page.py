"""What the page of a run shows: a row a class, and where its files can be opened."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from audit.findings import Findings
from audit.report.formatting import brief_interval
from audit.report.sentences import english

ROWS: Final = 200
"""Classes in the table, at most; the rest is in the run folder."""


def address_of(path: Path, public_url: str | None) -> str:
    """Where a file of a run folder can be opened; "" where nobody but this computer can."""
    return f"{public_url.rstrip('/')}/{path.parent.name}/{path.name}" if public_url else ""


def class_rows(findings: Findings) -> list[dict[str, str | int]]:
    """A row a class, the most urgent first; at most :data:`ROWS`."""
    comparison = findings.comparison
    changes = {one.label_name: one.change.value for one in comparison.classes} if comparison else {}
    return [
        {
            "class": f.label_name,
            "verdict": f.verdict.value,
            "since the run before": changes.get(f.label_name, ""),
            "kind": f.kind.value,
            "gap, points": brief_interval(f.estimate("background_gap")),
            "images": f.images,
            "why": english(f.reasons[0]) if f.reasons else "",
        }
        for f in findings.findings[:ROWS]
    ]

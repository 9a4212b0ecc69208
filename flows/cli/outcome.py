"""What a run found, on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from audit.pipeline.compose import Findings, failed_controls
from audit.pipeline.report import reports_of
from audit.run_folder import RunFolder
from flows.cli.terminal import err, shown

_COLOURS = {"suspect": "bold red", "watch": "yellow", "inconclusive": "dim", "clear": "green"}


def show_findings(findings: Findings, run: RunFolder) -> None:
    """Print the findings, most urgent first, where the reports lie, and which control failed."""
    table = Table(title=escape(findings["audit"]["title"]), title_justify="left")
    for heading in ("class", "verdict", "kind"):
        table.add_column(heading)
    for heading in ("images", "accuracy", "gap (95 % interval)", "mass"):
        table.add_column(heading, justify="right")
    for f in findings["findings"][:60]:
        table.add_row(
            escape(f["label_name"][:60]),
            f"[{_COLOURS[f['verdict']]}]{f['verdict']}[/]",
            "" if f["kind"] == "none" else f["kind"].replace("_", " "),
            str(f["images"]),
            _number(f["recall"]),
            _interval(f),
            _number(f["foreground_mass"]),
        )
    err.print(table)
    left_out = len(findings["findings"]) - 60
    if left_out > 0:
        err.print(f"... and {left_out} more in {run.classes_csv.name}")
    if not findings["summary"]["complete"]:
        err.print("Incomplete: too few images could be measured; see problems.csv.")
    for path in reports_of(run):
        err.print(f"Report: {escape(shown(path))}")
    # Last, so that nobody misses it: what follows from a blind audit is not worth reading.
    for sentence in failed_controls(findings):
        err.print(f"[bold red]{escape(sentence)}[/]", highlight=False)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _interval(finding: Mapping[str, Any]) -> str:
    value, low, high = (finding[f"background_gap{end}"] for end in ("", "_low", "_high"))
    if value is None or low is None:
        return _number(value)
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"

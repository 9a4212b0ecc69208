"""What a run found, on the terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from audit.findings import ClassFinding, Findings, Kind, Verdict
from audit.pipeline.report import reports_of
from audit.report.sentences import failed
from audit.run_folder import RunFolder
from flows.cli.terminal import err, shown

_COLOURS = {
    Verdict.SUSPECT: "bold red",
    Verdict.WATCH: "yellow",
    Verdict.INCONCLUSIVE: "dim",
    Verdict.CLEAR: "green",
}


def show_findings(findings: Findings, run: RunFolder) -> None:
    """Print the findings, most urgent first, where the reports lie, and which control failed."""
    table = Table(
        title=escape(findings.audit.title or f"Saliency audit: {findings.audit.name}"),
        title_justify="left",
    )
    for heading in ("class", "verdict", "kind"):
        table.add_column(heading)
    for heading in ("images", "accuracy", "gap (95 % interval)", "mass"):
        table.add_column(heading, justify="right")
    for f in findings.findings[:60]:
        table.add_row(
            escape(f.label_name[:60]),
            f"[{_COLOURS[f.verdict]}]{f.verdict}[/]",
            "" if f.kind is Kind.NONE else f.kind.replace("_", " "),
            str(f.images),
            _number(f.recall),
            _interval(f),
            _number(f.foreground_mass),
        )
    err.print(table)
    left_out = len(findings.findings) - 60
    if left_out > 0:
        err.print(f"... and {left_out} more in {run.classes_csv.name}")
    if not findings.summary.complete:
        err.print("Incomplete: too few images could be measured; see problems.csv.")
    for path in reports_of(run):
        err.print(f"Report: {escape(shown(path))}")
    # Last, so that nobody misses it: what follows from a blind audit is not worth reading.
    for control in findings.failed_controls:
        err.print(f"[bold red]{escape(failed(control))}[/]", highlight=False)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _interval(finding: ClassFinding) -> str:
    gap = finding.estimate("background_gap")
    if gap.value is None or gap.low is None or gap.high is None:
        return _number(gap.value)
    return f"{gap.value:+.2f} ({gap.low:+.2f} to {gap.high:+.2f})"

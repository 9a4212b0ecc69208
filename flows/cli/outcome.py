"""What a run found, on the terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from audit.findings import Findings, Verdict
from audit.pipeline.report import reports_of
from audit.report.formatting import brief_interval, share
from audit.report.sentences import failed
from audit.report.sentences.names import kind_word
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
    for heading in ("images", "accuracy", "gap, points (95 % interval)", "mass"):
        table.add_column(heading, justify="right")
    for f in findings.findings[:60]:
        table.add_row(
            escape(f.label_name[:60]),
            f"[{_COLOURS[f.verdict]}]{f.verdict}[/]",
            kind_word(f.kind, f.attractor),
            str(f.images),
            share(f.recall),
            brief_interval(f.estimate("background_gap")),
            share(f.foreground_mass),
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

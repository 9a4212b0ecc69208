"""What a run found, on the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape
from rich.table import Table

from audit.findings import Findings, Outcome, Verdict, read_facts
from audit.pipeline.report import reports_of
from audit.report.formatting import brief_interval, share
from audit.report.sentences import failed
from audit.report.sentences.names import kind_word
from audit.report.sentences.outcome import ending
from audit.report.untrusted import cleaned
from audit.run_folder import RunFolder
from flows.cli.terminal import GATE_FAILED, INCOMPLETE, err, shown

EXIT_CODES = {
    Outcome.GATE_FAILED: GATE_FAILED,
    Outcome.NOTHING_JUDGED: INCOMPLETE,
    Outcome.INCOMPLETE: INCOMPLETE,
}
"""Of ``run``, by how it ended; 0 for the rest."""
_COLOURS = {
    Verdict.SUSPECT: "bold red",
    Verdict.WATCH: "yellow",
    Verdict.INCONCLUSIVE: "dim",
    Verdict.CLEAR: "green",
}


def _published(run: RunFolder) -> Iterator[str]:
    """Where the reports were copied, or why they were not."""
    facts = read_facts(run.run_json) if run.run_json.exists() else None
    if facts and facts.published:
        yield f"Published: {escape(facts.published)}"
    if facts and facts.publish_error:
        yield f"[yellow]Not published: {escape(facts.publish_error)}[/]"


def show_findings(findings: Findings, run: RunFolder) -> None:
    """Print the findings, most urgent first, where the reports lie, and which control failed."""
    findings = cleaned(findings)
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
    for path in reports_of(run):
        err.print(f"Report: {escape(shown(path))}")
    for line in _published(run):
        err.print(line)
    err.print(escape(ending(findings)), highlight=False)
    # Last, so that nobody misses it: what follows from a blind audit is not worth reading.
    for control in findings.failed_controls:
        err.print(f"[bold red]{escape(failed(control))}[/]", highlight=False)

"""``saliency-audit report``: findings and report again, from the stored scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.terminal import AsJson, Overrides, print_json


def report(
    run_dir: Annotated[str, typer.Argument(help="A run folder.")],
    manifest: Annotated[
        str | None, typer.Option(help="Take the thresholds from this manifest.")
    ] = None,
    overrides: Overrides = None,
    trust_templates: Annotated[
        bool,
        typer.Option(
            "--trust-templates",
            help="Use the templates in the run folder: only where they are yours.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Decide and render again from the stored scores, with today's thresholds."""
    from audit.pipeline.report import report_again
    from audit.run_folder import RunFolder
    from flows.cli.outcome import show_findings

    run = RunFolder(Path(run_dir).resolve())
    findings = report_again(run, manifest, overrides or (), trust_templates=trust_templates)
    show_findings(findings, run)
    if as_json:
        print_json({**findings.summary.model_dump(), "run_folder": str(run.path)})

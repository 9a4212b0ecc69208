"""The report of a run, written at its end or again later."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from audit.errors import RunFolderError
from audit.findings import Findings
from audit.manifest import ReportSection, load_manifest
from audit.pipeline.compose import compose
from audit.pipeline.decide import decide
from audit.pipeline.run_json import finish, timed
from audit.report.render import FORMATS, render_report
from audit.report.style import keep_style
from audit.run_folder import RunFolder


def write_reports(run: RunFolder, settings: ReportSection) -> list[Path]:
    """Render the formats that the manifest asks for; returns where they lie."""
    return list(render_report(run.path, settings.formats, settings).values())


def report_again(
    run: RunFolder, manifest: str | Path | None = None, overrides: Sequence[str] = ()
) -> Findings:
    """Decide and render again from the stored scores; loads no model.

    Parameters
    ----------
    run : RunFolder
        Of a run that has come as far as its scores.
    manifest : str or Path, optional
        With the thresholds to decide by; None: the run's own copy.
    overrides : sequence of str
        ``"key.path=value"`` each, laid over the manifest.

    Raises
    ------
    RunFolderError
        There are no finished scores.
    ManifestError
        The manifest cannot be.
    """
    if not run.scores.exists() or not run.run_json.exists():
        raise RunFolderError(f"{run.path}: no finished scores here. Run the audit first.")
    declared = load_manifest(manifest or run.manifest, overrides)
    with run.locked():
        keep_style(run.path, declared)
        findings = compose(run, decide(run, declared))
        with timed(run, "report"):
            write_reports(run, declared.report)
        finish(run, findings.summary)
    return findings


def reports_of(run: RunFolder) -> list[Path]:
    """The reports that lie in a run folder."""
    paths = [run.path / f"report.{name}" for name in FORMATS]
    return [path for path in paths if path.exists()]

"""The report of a run, written at its end or again later."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from audit.errors import RunFolderError
from audit.exports import EXPORTS
from audit.exports.fiftyone import FORMAT as FIFTYONE
from audit.exports.fiftyone import write_documents
from audit.findings import Findings, read_facts, read_findings
from audit.manifest import ReportSection, load_manifest
from audit.pipeline.compose import compose
from audit.pipeline.decide import decide
from audit.pipeline.run_json import finish, now, timed, update_facts
from audit.pipeline.stored_tables import check_places, check_tables, of_our_making
from audit.report.render import FORMATS, render_report
from audit.report.style import keep_style
from audit.run_folder import RunFolder
from audit.writing import storage_as_sentence, write_bytes


def write_reports(
    run: RunFolder, settings: ReportSection, *, trust_templates: bool = True
) -> list[Path]:
    """Render the formats that the manifest asks for; returns where they lie.

    Parameters
    ----------
    run : RunFolder
        With findings.
    settings : ReportSection
        Of the manifest.
    trust_templates : bool
        Whether templates in the run folder are one's own, as in a run of one's own manifest.
    """
    # The report itself says when it was written.
    update_facts(run, finished=now())
    folders = [write_documents(run)] if FIFTYONE in settings.formats else []
    pages = [name for name in settings.formats if name in FORMATS]
    written = render_report(run.path, pages, settings, trust_templates=trust_templates)
    exported = [EXPORTS[name] for name in settings.formats if name in EXPORTS]
    if exported:
        findings, facts = read_findings(run.findings), read_facts(run.run_json)
        for export in exported:
            write_bytes(run.path / export.file, export.content(findings, facts))
    return [*written.values(), *(run.path / export.file for export in exported), *folders]


def report_again(
    run: RunFolder,
    manifest: str | Path | None = None,
    overrides: Sequence[str] = (),
    *,
    trust_templates: bool = False,
) -> Findings:
    """Decide and render again from the stored scores; loads no model.

    The run folder may come from somebody else. Of its own copy of the manifest only words and
    thresholds are taken: no ``${NAME}`` is replaced, and no file that it names is opened.

    Parameters
    ----------
    run : RunFolder
        Of a run that has come as far as its scores.
    manifest : str or Path, optional
        With the thresholds to decide by; None: the run's own copy.
    overrides : sequence of str
        ``"key.path=value"`` each, laid over the manifest.
    trust_templates : bool
        Whether templates that lie in the run folder are used; those that `manifest` names always.

    Raises
    ------
    RunFolderError
        There are no finished scores, the run ended before all of it was measured, or a table is
        damaged or holds what no run writes.
    ManifestError
        The manifest cannot be.
    """
    if not run.scores.exists() or not run.run_json.exists():
        raise RunFolderError(f"{run.path}: no finished scores here. Run the audit first.")
    if "compose" not in read_facts(run.run_json).timings:
        # Its verdicts would lack the follow-up and the controls, and nobody could see it.
        raise RunFolderError(
            f"{run.path}: the run ended after its scores, before follow-up and controls were done. "
            "Resume it: the same `run` command goes on from there."
        )
    own = manifest is not None
    declared = load_manifest(manifest or run.manifest, overrides, expand=own)
    with storage_as_sentence(), run.locked():
        check_places(run)
        check_tables(run)
        if own:
            keep_style(run.path, declared)
        with of_our_making(run):
            decided = decide(run, declared)
        findings = compose(run, decided)
        with timed(run, "report"):
            write_reports(run, declared.report, trust_templates=own or trust_templates)
        finish(run, findings.summary)
    return findings


def reports_of(run: RunFolder) -> list[Path]:
    """The reports and exports that lie in a run folder."""
    paths = [run.path / f"report.{name}" for name in FORMATS]
    paths += [run.path / export.file for export in EXPORTS.values()]
    paths.append(run.fiftyone)
    return [path for path in paths if path.exists()]

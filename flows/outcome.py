"""What Prefect is told of a run that is done: its state, a page with artifacts, and events."""

from __future__ import annotations

import logging
from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State, StateType
from prefect.events import emit_event

from audit.errors import AuditError
from audit.exports.events import events_of
from audit.exports.run_page import class_rows, page_of
from audit.findings import Findings, outcome
from audit.manifest import ReportSection
from audit.pipeline.publish import address_of, report_address
from audit.pipeline.report import reports_of
from audit.report.sentences.outcome import outcome_line
from audit.run_folder import RunFolder, file_slug

_log = logging.getLogger(__name__)

Ending = State[Any]
"""How a flow ended: with the summary of the findings and the ``run_folder``, as JSON."""


class GateError(AuditError):
    """All work is done, and the findings do not pass the gate of the manifest."""


def flow_state(findings: Findings, run: RunFolder) -> Ending:
    """The state that a run's page shows: of type FAILED where a gate was not passed."""
    passed, message = findings.summary.gate_passed, outcome_line(findings)
    return State(
        type=StateType.COMPLETED if passed else StateType.FAILED,
        name=outcome(findings).value,
        message=message,
        # Of a failed state Prefect makes an exception.
        data={**findings.summary.model_dump(), "run_folder": str(run.path)}
        if passed
        else GateError(message),
    )


def show_findings(findings: Findings, run: RunFolder, settings: ReportSection) -> None:
    """Findings as a table, a page with pictures, reports as links, on the run's page in Prefect.

    Named after the audit, so that the audits of a server do not overwrite each other's. A server
    that does not answer costs the page, and no work.

    Parameters
    ----------
    findings, run : Findings, RunFolder
        Of the run.
    settings : ReportSection
        Of its manifest: where reports can be opened.
    """
    name, link = file_slug(findings.audit.name), report_address(run, settings)
    try:
        create_table_artifact(
            key=f"{name}-findings",
            table=class_rows(findings),
            description="One row a class, the most urgent first.",
        )
        create_markdown_artifact(
            key=f"{name}-summary",
            markdown=page_of(findings, run.path if settings.artifact_pictures else None, link),
        )
        for path in reports_of(run):
            create_link_artifact(
                key=f"{name}-{path.name.replace('.', '-')}",
                link=address_of(path, run, settings) or path.as_uri(),
                link_text=path.name,
            )
    except Exception:
        _log.warning("Prefect's server took no artifacts; the run folder has all of it")


def tell_events(findings: Findings, report_url: str = "") -> None:
    """Emit the events of a finished run; a server that is away costs the events and no work.

    Parameters
    ----------
    findings : Findings
        Of the run, with its comparison.
    report_url : str
        Where the report can be opened; "" where nobody but the worker can.
    """
    try:
        for event in events_of(findings, report_url):
            emit_event(**event)
    except Exception:
        _log.warning("Prefect took no events of this run; the run folder has all of it")

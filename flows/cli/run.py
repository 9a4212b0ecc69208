"""``saliency-audit run``: the whole audit as a Prefect flow, with live progress."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from audit.errors import AuditError
from audit.run_folder import RunFolder, write_bytes
from flows.cli.terminal import (
    AsJson,
    Device,
    ManifestPath,
    Overrides,
    err,
    print_json,
    shown,
)

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

    from audit.pipeline.session import Session


def run(
    manifest: ManifestPath = "data_manifest.yaml",
    out: Annotated[str | None, typer.Option(help="The run folder.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on where an earlier run stopped.")] = True,
    limit: Annotated[int | None, typer.Option(min=1, help="Audit only so many images.")] = None,
    device: Device = "auto",
    runner: Annotated[str, typer.Option(help="threads, dask or ray.")] = "threads",
    overrides: Overrides = None,
    gate: Annotated[str | None, typer.Option(help="never, suspect or new.")] = None,
    as_json: AsJson = False,
) -> None:
    """Audit a dataset and a classifier, and render the report."""
    from audit.findings import outcome, read_findings
    from audit.pipeline.report import reports_of
    from audit.pipeline.run import begun
    from audit.pipeline.session import AuditRequest, open_session
    from audit.report.sentences import failed
    from flows.cli.outcome import EXIT_CODES, show_findings
    from flows.runners import task_runner

    laid_over = (*(overrides or ()), *((f"gate={gate}",) if gate else ()))
    shards_go_to = task_runner(runner)
    # Before Prefect: a mistake in the input ends here, with one message.
    with err.status("checking manifest, dataset and model"):
        session = open_session(AuditRequest(manifest, "", laid_over, limit, device))
    with begun(session, out, resume=resume) as session:
        err.print(f"Auditing into {escape(shown(session.run.path))}")
        _run_flow(session, shards_go_to)
    findings = read_findings(session.run.findings)
    show_findings(findings, session.run)
    ended = outcome(findings)
    if as_json:
        print_json(
            {
                **findings.summary.model_dump(),
                "outcome": ended.value,
                "failed_controls": [failed(control) for control in findings.failed_controls],
                "run_folder": str(session.run.path),
                "reports": [str(path) for path in reports_of(session.run)],
            }
        )
    if code := EXIT_CODES.get(ended):
        raise typer.Exit(code)


def _run_flow(session: Session, shards_go_to: TaskRunner[Any]) -> None:
    """Run the flow, with its steps on the terminal.

    Raises
    ------
    AuditError
        The work failed; finished shards are kept.
    Stopped
        The process was asked to end; finished shards are kept, too.
    """
    from prefect.exceptions import TerminationSignal

    from audit.cancellation import Stopped
    from audit.findings import Outcome
    from flows.audit_dataset import run_as_flow
    from flows.cli.progress import shown_progress

    _leave_terminal_to_steps()
    try:
        with shown_progress(err) as progress:
            state = run_as_flow(session, progress, shards_go_to)
    except TerminationSignal:
        raise Stopped from None
    # A state of ours says how the audit ended, also where that is of the type FAILED.
    if not state.is_completed() and state.name not in set(Outcome):
        raise _failure(state, session.run)


def _leave_terminal_to_steps() -> None:
    """Keep Prefect's own lines off the terminal, and nobody else's; a server gets them all."""
    from prefect.logging.handlers import PrefectConsoleHandler

    for handler in logging.getLogger().handlers:
        if isinstance(handler, PrefectConsoleHandler):
            handler.addFilter(_is_of_others)


def _is_of_others(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] != "prefect"


def _failure(state: Any, run: RunFolder) -> BaseException:
    """What ended the flow, as an error of ours."""
    try:
        state.result()
    except AuditError as error:
        return error
    except Exception as error:
        # The message is for people; the traceback is for whoever mends it.
        write_bytes(run.path / "error.txt", traceback.format_exc().encode())
        return AuditError(
            f"failed during work: {type(error).__name__}: {error}. Finished shards are kept, and "
            f"the same command goes on from there; details in {shown(run.path / 'error.txt')}."
        )
    return AuditError(f"the flow ended as {state.name}: {state.message}")

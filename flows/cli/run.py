"""``saliency-audit run``: the whole audit as a Prefect flow, with live progress."""

from __future__ import annotations

import logging
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from audit.cancellation import Stopped, stop_if_asked
from audit.errors import AuditError
from audit.run_folder import RunFolder
from audit.secrets import guarded
from audit.writing import storage_problem, write_bytes
from flows.cli.terminal import (
    FAILED,
    AcceptAccuracy,
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

    from audit.findings import Findings, Outcome
    from audit.pipeline.progress import Progress
    from audit.pipeline.session import Session


def run(
    manifest: ManifestPath = "data_manifest.yaml",
    out: Annotated[str | None, typer.Option(help="The run folder.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on where an earlier run stopped.")] = True,
    limit: Annotated[int | None, typer.Option(min=1, help="Audit only so many images.")] = None,
    device: Device = "auto",
    runner: Annotated[
        str | None,
        typer.Option(help="threads, processes, dask[:ADDRESS] or ray[:ADDRESS]; else run.runner."),
    ] = None,
    overrides: Overrides = None,
    gate: Annotated[str | None, typer.Option(help="never, suspect, new or worsened.")] = None,
    as_json: AsJson = False,
    accept_accuracy: AcceptAccuracy = False,
    force: Annotated[
        bool, typer.Option(help="Audit again, also where nothing changed since the last run.")
    ] = False,
) -> None:
    """Audit a dataset and a classifier, and render the report."""
    from audit.findings import outcome, read_findings
    from audit.pipeline.opening import open_session
    from audit.pipeline.run import night
    from audit.pipeline.session import AuditRequest
    from flows.cli.outcome import EXIT_CODES, show_findings
    from flows.cli.progress import shown_progress
    from flows.runners import task_runner

    named = {"gate": gate, "run.runner": runner}
    laid_over = (*(overrides or ()), *(f"{key}={word}" for key, word in named.items() if word))
    # Before Prefect: a mistake in the input ends here, with one message.
    with shown_progress(err) as progress:
        request = AuditRequest(manifest, "", laid_over, limit, device, accept_accuracy)
        session = open_session(request, None, progress)
    shards_go_to = task_runner(session.manifest.run.runner)
    try:
        with night(session, out, resume=resume, force=force) as (session, known):
            if known is None:
                err.print(f"Auditing into {escape(shown(session.run.path))}")
                _run_flow(session, shards_go_to)
    except Stopped:
        err.print("Stopped. Finished shards are kept; the same command goes on from there.")
        raise typer.Exit(FAILED) from None
    findings = known or read_findings(session.run.findings)
    show_findings(findings, session.run)
    ended = outcome(findings)
    if as_json:
        print_json(_as_json(findings, ended, session.run, is_unchanged=known is not None))
    if code := EXIT_CODES.get(ended):
        raise typer.Exit(code)


def _as_json(
    findings: Findings, ended: Outcome, run: RunFolder, *, is_unchanged: bool
) -> dict[str, object]:
    from audit.pipeline.report import reports_of
    from audit.report.sentences import failed

    return {
        **findings.summary.model_dump(),
        "outcome": ended.value,
        "is_unchanged": is_unchanged,
        "failed_controls": [failed(control) for control in findings.failed_controls],
        "run_folder": str(run.path),
        "reports": [str(path) for path in reports_of(run)],
    }


def _run_flow(session: Session, shards_go_to: TaskRunner[Any]) -> None:
    """Run the flow with its steps on the terminal; without Prefect where that is away.

    Raises
    ------
    AuditError
        The work failed; finished shards are kept.
    Stopped
        The process was asked to end; finished shards are kept, too.
    """
    from audit.pipeline.run import take_steps
    from flows.cli.endings import lost_server
    from flows.cli.progress import shown_progress
    from flows.server import missing_server

    err.print("Starting Prefect; its first start takes a while.")
    try:
        with shown_progress(err) as progress:
            away = missing_server()
            if not away:
                error = _failure_of_flow(session, progress, shards_go_to)
                if error is None:
                    return
                away = lost_server(error)
                if not away:
                    raise error
            err.print(f"{escape(away)}; the audit goes on without Prefect, in this process.")
            take_steps(session, progress)
    except AuditError:
        raise
    except Exception as error:
        if storage_problem(error):
            raise
        raise _named(error, session.run) from error


def _failure_of_flow(
    session: Session, progress: Progress, shards_go_to: TaskRunner[Any]
) -> Exception | None:
    """Run the flow; what ended it, or None."""
    from prefect.exceptions import TerminationSignal

    from audit.findings import Outcome
    from flows.audit_dataset import run_as_flow
    from flows.cli.endings import was_stopped
    from flows.server import server_for_workers

    _leave_terminal_to_steps()
    try:
        with server_for_workers():
            state = run_as_flow(session, progress, shards_go_to)
        # A state of ours says how the audit ended, also where that is of the type FAILED.
        if state.is_completed() or state.name in set(Outcome):
            return None
        state.result()
    except TerminationSignal:
        raise Stopped from None
    except Exception as error:
        stop_if_asked()
        if was_stopped(error):
            raise Stopped from None
        return error
    return AuditError(f"the flow ended as {state.name}: {state.message}")


def _named(error: Exception, run: RunFolder) -> AuditError:
    """What ended the work, as an error of ours: a message for people, a traceback in a file."""
    details = ""
    with suppress(OSError):
        path = run.path / "error.txt"
        write_bytes(path, guarded("".join(traceback.format_exception(error))).encode())
        details = f"; details in {shown(path)}"
    return AuditError(
        f"failed during work: {type(error).__name__}: {error}. Finished shards are kept, and "
        f"the same command goes on from there{details}."
    )


def _leave_terminal_to_steps() -> None:
    """Keep Prefect's own lines off the terminal, and nobody else's; a server gets them all."""
    from prefect.logging.handlers import PrefectConsoleHandler

    for handler in logging.getLogger().handlers:
        if isinstance(handler, PrefectConsoleHandler):
            handler.addFilter(_is_of_others)


def _is_of_others(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] != "prefect"

"""The audit as a Prefect flow: the steps of :mod:`audit.pipeline.run`, each a task."""

# No `from __future__ import annotations`: a served run gets the flow by cloudpickle, which takes
# along what annotations are, and not what strings would name. A state's own can't be pickled.

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.task_runners import TaskRunner
from pydantic import Field

from audit.errors import AuditError
from audit.findings import Findings
from audit.manifest import RunnerSection, load_manifest
from audit.pipeline.handles import Handle
from audit.pipeline.log_lines import log_end, log_start
from audit.pipeline.opening import open_session
from audit.pipeline.progress import SILENT, Progress
from audit.pipeline.publish import report_address
from audit.pipeline.run import night, take_steps
from audit.pipeline.session import AuditRequest, Session
from flows.outcome import Ending, flow_state, show_findings, tell_events
from flows.runners import own_gpus, task_runner
from flows.server import quick_to_end, server_for_workers
from flows.tasks import AsTasks

_NAME = "audit-dataset"


def _name_of_run() -> str:
    """The audit's own name, as its manifest writes it."""
    parameters = flow_run.parameters or {}
    try:
        return load_manifest(parameters["manifest"], parameters.get("overrides") or ()).name
    except (AuditError, KeyError):
        return "audit"


@flow(
    name=_NAME,
    flow_run_name=_name_of_run,
    # One shard at a time: torch uses all cores, or the GPU, for one already.
    task_runner=task_runner(RunnerSection()),
    persist_result=False,
    validate_parameters=True,
)
def audit_dataset(
    manifest: str,
    out: str | None = None,
    resume: bool = True,
    limit: Annotated[int, Field(ge=1)] | None = None,
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto",
    overrides: list[str] | None = None,
    gate: Literal["never", "suspect", "new", "worsened"] | None = None,
    runs: str | None = None,
    accept_accuracy: bool = False,
    force: bool = False,
) -> "Ending":
    """Audit a labelled dataset and the classifier that a manifest declares.

    Args:
        manifest: Path of the manifest.
        out: The run folder; empty: a new one, or the unfinished one of this audit.
        resume: Go on where an earlier run in that folder stopped.
        limit: Audit only so many images, spread over the classes.
        device: auto, cpu, cuda or cuda:i.
        overrides: key.path=value each, laid over the manifest.
        gate: When the run fails; empty: as the manifest says.
        runs: The folder below which each run gets one of its own; empty: runs.
        accept_accuracy: Audit a model, too, that looks as if it guessed, or shuffled its labels.
        force: Audit again, also where nothing has changed since the last run.

    Returns
    -------
    State
        Named by :class:`audit.findings.Outcome`; its message tells the four counts, what they mean
        and the controls that failed, its data is the summary of the findings. Of type FAILED where
        the gate was not passed; its result is then :class:`flows.outcome.GateError`.
    """
    # Parameters are told in the form that Prefect reads for its own form.
    laid_over = tuple(overrides or ()) + ((f"gate={gate}",) if gate else ())
    session = open_session(AuditRequest(manifest, "", laid_over, limit, device, accept_accuracy))
    home = Path(runs) if runs else None
    with night(session, out or None, resume=resume, force=force, runs=home) as (session, known):
        runner = session.manifest.run.runner
        if known is not None or runner.kind == "threads":
            return _audit(session, SILENT, known)
        # A flow has one task runner, and which one is wanted is known only here.
        with server_for_workers():
            return run_as_flow(session, SILENT, task_runner(runner))


def run_as_flow(session: Session, progress: Progress, shards_go_to: TaskRunner[Any]) -> Ending:
    """Run the same flow on a session that has begun in this process; returns its state.

    Parameters
    ----------
    session : Session
        From :func:`audit.pipeline.run.begun`.
    progress : Progress
        Follows the steps.
    shards_go_to : TaskRunner
        Gets the shards.
    """
    # Workers are sent the flow, too, with all that its function sees.
    handle, name = Handle(session, progress), session.manifest.name

    @flow(
        name=_NAME,
        flow_run_name=lambda: name,
        description=audit_dataset.description,
        task_runner=shards_go_to,
        persist_result=False,
        # What was asked for, shown on the run's page; the session has it.
        validate_parameters=False,
    )
    def begun_audit(**asked: Any) -> "Ending":
        return _audit(handle.session, handle.progress)

    with own_gpus(session.manifest.run.runner, session.model.device):
        state: Ending = begun_audit(**dataclasses.asdict(session.request), return_state=True)
    return state


def _audit(session: Session, progress: Progress, known: Findings | None = None) -> Ending:
    logger = get_run_logger()
    log_start(logger, session)
    with quick_to_end():
        findings = known or take_steps(session, progress, AsTasks(session.manifest.run.timeout))
    run, settings = session.run, session.manifest.report
    show_findings(findings, run, settings)
    tell_events(findings, report_address(run, settings))
    log_end(logger, findings, run)
    return flow_state(findings, run)

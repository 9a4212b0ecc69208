"""The audit as a Prefect flow; read it as a table of contents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, unmapped
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from audit import cancellation
from audit.errors import AuditError
from audit.manifest import load_manifest
from audit.pipeline import decide, exhibits
from audit.pipeline.runs import point_latest, run_folder_for
from audit.pipeline.session import AuditRequest, open_session
from audit.verdicts.reasons import plural
from flows import tasks
from flows.progress import reporter


def _name_of_run() -> str:
    """The audit's own name, as its manifest writes it."""
    parameters = flow_run.parameters or {}
    try:
        return load_manifest(parameters["manifest"], parameters.get("overrides") or ()).name
    except (AuditError, KeyError):
        return "audit"


@flow(
    name="audit-dataset",
    flow_run_name=_name_of_run,
    persist_result=False,
    validate_parameters=True,
)
def audit_dataset(
    manifest: str,
    out: str | None = None,
    resume: bool = True,
    limit: int | None = None,
    device: str = "auto",
    overrides: list[str] | None = None,
    gate: str | None = None,
) -> State[dict[str, Any]]:
    """Audit a labelled dataset and the classifier that a manifest declares.

    Parameters
    ----------
    manifest : str
        Path of the manifest.
    out : str, optional
        The run folder; None: a new one below ``runs/``, or the unfinished one of this audit.
    resume : bool
        Go on where an earlier run in that folder stopped.
    limit : int, optional
        Audit only so many images, spread over the classes.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
    overrides : list of str, optional
        ``key.path=value`` each, laid over the manifest.
    gate : str, optional
        ``never``, ``suspect`` or ``new``; None: as the manifest says.

    Returns
    -------
    State
        ``Completed``, or named ``SuspectClasses``; its data is the summary of the findings.
    """
    laid_over = tuple(overrides or ()) + ((f"gate={gate}",) if gate else ())
    request = AuditRequest(manifest, "", laid_over, limit, device)
    request = run_folder_for(request, out, resume=resume)
    cancellation.begin()
    with request.run.locked():
        try:
            summary = _audit(request, resume)
        except BaseException as error:
            # Prefect answers SIGTERM by an exception here, which the threads do not hear.
            if not isinstance(error, Exception):
                cancellation.ask_to_stop()
            decide.mark_failed(request.run)
            raise
    point_latest(request.run.path)
    return _state(summary, request.run.path)


def _audit(request: AuditRequest, resume: bool) -> dict[str, Any]:
    shards = tasks.prepare(request, resume)
    session = open_session(request)
    reporter.expect("scores", len(session.table))

    tasks.gather_donors(request)
    tasks.score_shard.map(unmapped(request), range(shards)).result()
    tasks.gather_scores(request)
    tasks.look_again(request)
    tasks.check_itself(request)

    summary = tasks.decide(request)
    tasks.draw_exhibits(request)
    tasks.find_cues(request)
    reporter.expect("cmv", exhibits.count_cmvs(session))
    tasks.visualize_classes(request)

    tasks.report(request)
    decide.finish(request.run, summary)
    return summary


def _state(summary: dict[str, Any], folder: Path) -> State[dict[str, Any]]:
    """The state that a run's page shows."""
    suspects = summary["suspect"]
    data = {**summary, "run_folder": str(folder)}
    if suspects:
        message = f"{plural(suspects, 'class', 'classes')} found suspect."
        return Completed(name="SuspectClasses", message=message, data=data)
    return Completed(message="No class was found suspect.", data=data)

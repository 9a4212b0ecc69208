"""The audit: its steps, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from audit import cancellation
from audit.exports.fiftyone import FORMAT as FIFTYONE
from audit.findings import Findings
from audit.pipeline.cmv_alignment import align_cmvs
from audit.pipeline.cmvs import count_cmvs, visualize_classes
from audit.pipeline.compose import compose
from audit.pipeline.cues import find_cues
from audit.pipeline.decide import decide
from audit.pipeline.donor_parts import gather_donors
from audit.pipeline.exhibits import draw_exhibits
from audit.pipeline.fiftyone import draw_samples
from audit.pipeline.follow_up import follow_up
from audit.pipeline.masks import look_at_masks
from audit.pipeline.measure import gather_scores, run_controls, score
from audit.pipeline.more_images import measure_more_images
from audit.pipeline.nights import alone, close_abandoned, confirm, unchanged_run
from audit.pipeline.opening import Declared, LaidOver, open_declared
from audit.pipeline.outlines import make_outlines
from audit.pipeline.prepare import prepare
from audit.pipeline.progress import SILENT, Lines, Progress, Together
from audit.pipeline.publish import publish
from audit.pipeline.report import write_reports
from audit.pipeline.run_json import finish, mark_failed, timed
from audit.pipeline.run_log import STEPS, logged
from audit.pipeline.runs import Run, folder_for, home_of, point_latest
from audit.pipeline.second_outlines import measure_second_outlines
from audit.pipeline.session import Session
from audit.pipeline.steps import SEQUENTIAL, StepRunner
from audit.writing import storage_as_sentence

P = ParamSpec("P")
T = TypeVar("T")


def run(
    manifest: Declared,
    out: str | Path | None = None,
    *,
    progress: Progress = SILENT,
    resume: bool = True,
    limit: int | None = None,
    device: str = "auto",
    overrides: LaidOver = (),
    accept_accuracy: bool = False,
    force: bool = False,
) -> Run:
    """Audit a labelled dataset and the classifier that a manifest declares.

    Parameters
    ----------
    manifest : str, Path or mapping
        The manifest file; or what would stand in it, with paths relative to the current folder.
    out : str or Path, optional
        The run folder; None: a new one below ``runs/``, or the unfinished one of this audit; or
        the last finished one, where nothing has changed since.
    progress : Progress
        Is told how far the run is.
    resume : bool
        Go on where an earlier run in that folder stopped; False empties it first.
    limit : int, optional
        Audit only so many images, spread over the classes.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
    overrides : sequence of str, or mapping
        ``"key.path=value"`` each, or values by key path; laid over the manifest.
    accept_accuracy : bool
        Audit a model, too, that looks as if it guessed, or as if its labels were shuffled.
    force : bool
        Audit again, also where nothing has changed since the last run.

    Returns
    -------
    Run
        With findings, tables and reports.

    Raises
    ------
    InputError
        Something given is wrong; nothing has been computed.
    AuditError
        The work failed; what was finished is kept, and the same call goes on from there.
    """
    session = open_declared(
        manifest,
        overrides,
        limit=limit,
        device=device,
        progress=progress,
        accept_accuracy=accept_accuracy,
    )
    with night(session, out, resume=resume, force=force) as (session, known):
        if known is None:
            take_steps(session, progress)
    return Run(session.run.path)


@contextmanager
def night(
    session: Session,
    out: str | Path | None,
    *,
    resume: bool,
    force: bool = False,
    runs: Path | None = None,
) -> Iterator[tuple[Session, Findings | None]]:
    """Begin a run, go on with one, or find that there is nothing new to measure.

    Without `out` one process at a time does this for a fingerprint; a second one waits, and then
    finds what the first one found.

    Parameters
    ----------
    session : Session
        Opened, without a folder yet.
    out, resume, force
        As for :func:`run`; to begin anew (`resume` is False) is forced, too.
    runs : Path, optional
        See :func:`~audit.pipeline.runs.folder_for`.

    Yields
    ------
    Session, Findings or None
        With its folder. The findings are those of the earlier run that stands for this night; None
        where the steps are to be taken.
    """
    cancellation.begin()
    if out is not None:
        with begun(session, out, resume=resume) as session:
            yield session, None
        return
    home = home_of(session, runs)
    with storage_as_sentence(), alone(home, session.key):
        known = None if force or not resume else unchanged_run(home, session)
        if known is not None:
            yield session.writing_into(known.path), confirm(known, session.manifest)
            return
        close_abandoned(home, session.key)
        folder = folder_for(session, None, resume=resume, runs=runs)
        with begun(session, folder, resume=resume) as session:
            yield session, None


@contextmanager
def begun(session: Session, out: str | Path | None, *, resume: bool) -> Iterator[Session]:
    """Hold the run folder and prepare it; a block that fails leaves the run marked as failed.

    Parameters
    ----------
    session : Session
        Opened, without a folder yet.
    out, resume
        As for :func:`run`.
    """
    session = session.writing_into(folder_for(session, out, resume=resume))
    run = session.run
    cancellation.begin()
    with storage_as_sentence(), run.locked(), logged(run), session.loader:
        prepare(session, resume=resume)
        STEPS.info(
            "%s: %d images of %d classes, %s on %s",
            *(session.manifest.name, len(session.table), len(session.labels)),
            *(session.model.name, session.model.device),
        )
        try:
            yield session
        except BaseException as error:
            # Who ends this thread by an exception, as Prefect does, is not heard by the others.
            if not isinstance(error, Exception):
                cancellation.ask_to_stop()
            STEPS.info("ended early: %s: %s", type(error).__name__, error)
            mark_failed(run)
            raise
    point_latest(run.path)


def take_steps(
    session: Session, progress: Progress = SILENT, runner: StepRunner | None = None
) -> Findings:
    """Take all steps of a run that has begun; what an earlier run finished is not made again."""
    run, manifest, runner = session.run, session.manifest, runner or SEQUENTIAL
    progress = Together(progress, Lines(STEPS.info))

    def step(name: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        cancellation.stop_if_asked()
        with timed(run, name), progress.step(name):
            return runner.run_step(name, function, *args, **kwargs)

    if session.estimator is not None:
        with timed(run, "outlines"), progress.step("outlines", len(session.table)):
            make_outlines(session, progress, runner)
    step("masks", look_at_masks, session)
    with timed(run, "donors"), progress.step("donors"):
        gather_donors(session, progress, runner)
    with timed(run, "scores"), progress.step("scores", len(session.table)):
        runner.run_parts("score-shard", score, session, progress, session.shard_sizes)
    step("gather", gather_scores, session)
    with timed(run, "follow-up"), progress.step("follow-up"):
        follow_up(session, progress, runner)
    with timed(run, "more images"), progress.step("more images"):
        measure_more_images(session, progress, runner)
    with timed(run, "second outlines"), progress.step("second outlines"):
        measure_second_outlines(session, progress, runner)
    step("controls", run_controls, session, progress)
    decided = step("decide", decide, run, manifest)
    with timed(run, "exhibits"), progress.step("exhibits"):
        draw_exhibits(session, decided, progress, runner)
    with timed(run, "cues"), progress.step("cues"):
        find_cues(session, decided, progress, runner)
    with timed(run, "cmvs"), progress.step("cmvs", count_cmvs(session, decided)):
        made = visualize_classes(session, decided, progress, runner)
        runner.run_step("cmvs", align_cmvs, session, made)
    if FIFTYONE in manifest.report.formats:
        step("fiftyone", draw_samples, session)
    findings = step("compose", compose, run, decided)
    step("report", write_reports, run, manifest.report)
    finish(run, findings.summary)
    if manifest.report.publish:
        step("publish", publish, run, manifest.name, manifest.report.publish)
    return findings

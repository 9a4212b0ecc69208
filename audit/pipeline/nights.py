"""A night on what another night audited: one of two triggers waits, and nothing is measured twice.

Where the last finished run of an audit has the same fingerprint and the same settings, a run would
find what that one found. It ends there: no folder is made, the earlier run is marked as confirmed,
and its findings, its report and its gate hold. A gate that failed fails again, also `new`, whose
alarm would otherwise be silenced by starting the same audit twice; what people decided since is
heard, and where that changes what a page says, the pages are written again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from audit import cancellation
from audit.errors import RunFolderError
from audit.exports import EXPORTS
from audit.findings import Findings, RunFacts, RunStatus, read_facts, read_findings
from audit.history.predecessors import finished_in, is_held
from audit.manifest import Manifest
from audit.measuring.shards import MAY_PASS
from audit.pipeline.compare import compare, with_history
from audit.pipeline.compose import compose
from audit.pipeline.decide import decide
from audit.pipeline.publish import publish
from audit.pipeline.report import write_reports
from audit.pipeline.run_json import finish, now, timed, update_facts
from audit.pipeline.session import Session
from audit.pipeline.settings import settings_key
from audit.report.render import FORMATS
from audit.run_folder import RunFolder

CONFIRMATIONS = 400
"""Nights that ``run.json`` names as having found nothing new, at most; the latest are kept."""
_EVERY = 1.0
_log = logging.getLogger(__name__)


@contextmanager
def alone(home: Path, key: str) -> Iterator[None]:
    """Let one process at a time begin an audit of some fingerprint below a folder; others wait.

    Parameters
    ----------
    home : Path
        The folder of the audit's runs.
    key : str
        The fingerprint.

    Raises
    ------
    RunFolderError
        The folder cannot be written.
    """
    path, is_told = home / f".auditing-{key[:16]}", False
    while True:
        try:
            home.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise RunFolderError(
                f"{home}: cannot be written ({error}). Name another folder with --out."
            ) from error
        try:
            if _is_taken(handle, path):
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
                try:
                    yield
                finally:
                    # While it is still held: who waits for it finds the name gone and looks again.
                    path.unlink(missing_ok=True)
                return
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip()
        finally:
            os.close(handle)
        if not is_told:
            _log.warning("the same audit is under way (%s); waiting for it to end", holder)
            is_told = True
        cancellation.stop_if_asked()
        time.sleep(_EVERY)


def _is_taken(handle: int, path: Path) -> bool:
    """Try to lock an open file; False where another holds it, or it has lost its name."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False


def unchanged_run(home: Path, session: Session) -> RunFolder | None:
    """The last finished run of an audit, where another would find the same.

    Parameters
    ----------
    home : Path
        The folder of the audit's runs.
    session : Session
        Of the run that would be.

    Returns
    -------
    RunFolder or None
        None where images, foregrounds, weights, settings or software differ; and where the last
        run was incomplete and images that it could not read may now be read.
    """
    finished = list(finished_in(home, session.manifest.name))
    if not finished:
        return None
    run, facts = max(finished, key=lambda one: (one[1].started, one[0].path.name))
    same = facts.fingerprint == session.key and facts.hashes.settings == settings_key(
        session.manifest
    )
    return run if same and not _may_find_more(run, facts) else None


def _may_find_more(run: RunFolder, facts: RunFacts) -> bool:
    if facts.status is RunStatus.COMPLETE:
        return False
    try:
        reasons = pq.read_table(run.scores, columns=["reason"])["reason"].unique().to_pylist()
    except (OSError, pa.ArrowException, KeyError):
        return True
    return bool(MAY_PASS & set(reasons))


def confirm(run: RunFolder, manifest: Manifest) -> Findings:
    """Let an earlier run stand for this night.

    Parameters
    ----------
    run : RunFolder
        From :func:`unchanged_run`.
    manifest : Manifest
        With the gate of this night.

    Returns
    -------
    Findings
        Those of the run, beside themselves: its comparison says that nothing changed.

    Raises
    ------
    RunFolderError
        Another process writes into the run's folder.
    """
    with run.locked():
        findings = read_findings(run.findings)
        # First, since a class whose audit is repeated waits no longer.
        confirmed = (*read_facts(run.run_json).confirmed, now())[-CONFIRMATIONS:]
        update_facts(run, confirmed=confirmed)
        if _says_something_else(run, findings, manifest):
            findings = compose(run, decide(run, manifest))
            with timed(run, "report"):
                write_reports(run, manifest.report)
            finish(run, findings.summary)
            if manifest.report.publish:
                publish(run, manifest.name, manifest.report.publish)
    return findings.model_copy(update={"comparison": compare(run.path, run.path)})


def _says_something_else(run: RunFolder, findings: Findings, manifest: Manifest) -> bool:
    """Whether the pages of a run would be others today: by its gate, its baseline or reviews."""
    asked = findings.summary.model_copy(
        update={"gate": manifest.gate, "gate_after": manifest.gate_after}
    )
    today = with_history(run, findings.model_copy(update={"summary": asked}))
    files = {f"report.{name}" for name in manifest.report.formats if name in FORMATS}
    files |= {EXPORTS[name].file for name in manifest.report.formats if name in EXPORTS}
    return today != findings or not all((run.path / name).is_file() for name in files)


def close_abandoned(home: Path, key: str) -> None:
    """Mark runs as failed whose process died without a word, and which nobody will go on with.

    Parameters
    ----------
    home : Path
        The folder of the audit's runs.
    key : str
        A fingerprint; a run that has it is about to be resumed.
    """
    for folder in sorted(home.iterdir()):
        run = RunFolder(folder)
        # What lies there may be anybody's; it is no reason to have no audit.
        with suppress(OSError, RunFolderError):
            if folder.is_symlink() or not run.run_json.is_file():
                continue
            facts = read_facts(run.run_json)
            if facts.status is RunStatus.RUNNING and facts.fingerprint != key and not is_held(run):
                update_facts(run, status=RunStatus.FAILED)

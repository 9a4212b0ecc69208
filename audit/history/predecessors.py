"""The runs of one audit that lie beside each other, in one folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from audit.errors import RunFolderError
from audit.findings import Baseline, RunFacts, RunStatus, read_facts
from audit.history import journal
from audit.run_folder import RunFolder

_FINISHED = (RunStatus.COMPLETE, RunStatus.INCOMPLETE)


def finished_runs(run: RunFolder, name: str) -> Iterator[tuple[RunFolder, RunFacts]]:
    """The finished runs of an audit in the folder in which a run lies, in any order, without it."""
    for other, facts in finished_in(run.path.parent, name):
        if other.path != run.path:
            yield other, facts


def finished_in(home: Path, name: str) -> Iterator[tuple[RunFolder, RunFacts]]:
    """The finished runs of an audit in a folder, in any order.

    What else lies there, and what may not be read, is passed over.
    """
    try:
        folders = list(home.iterdir())
    except OSError:
        return
    for folder in folders:
        facts = _finished(RunFolder(folder))
        if facts is not None and facts.name == name:
            yield RunFolder(folder), facts


def is_held(run: RunFolder) -> bool:
    """Whether a process writes into a run folder just now; one that died holds nothing."""
    try:
        handle = os.open(run.path / ".lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _finished(run: RunFolder) -> RunFacts | None:
    try:
        needed = (run.run_json, run.findings, run.scores)
        if run.path.is_symlink() or not all(path.is_file() for path in needed):
            return None
        facts = read_facts(run.run_json)
    except (OSError, RunFolderError):
        return None
    return facts if facts.status in _FINISHED else None


def run_before(run: RunFolder, facts: RunFacts) -> RunFolder | None:
    """What a run is laid beside: the accepted run of its audit, else the last that was finished.

    It began before this one; None for the first.
    """
    accepted = accepted_run(run, facts.name)
    earlier = [
        (found.run_id == accepted, found.started, folder.path.name, folder)
        for folder, found in finished_runs(run, facts.name)
        if found.started <= facts.started and found.run_id != facts.run_id
    ]
    return max(earlier, key=lambda one: one[:3])[3] if earlier else None


def accepted_run(run: RunFolder, name: str) -> str | None:
    """The ``run_id`` that was accepted last as the baseline of an audit; None where none was."""
    accepted = [one for one in journal.read(run.baselines, Baseline) if one.audit == name]
    return accepted[-1].run_id if accepted else None

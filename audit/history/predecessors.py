"""The runs of one audit that lie beside each other, in one folder."""

from __future__ import annotations

from collections.abc import Iterator

from audit.errors import RunFolderError
from audit.findings import RunFacts, RunStatus, read_facts
from audit.run_folder import RunFolder

_FINISHED = (RunStatus.COMPLETE, RunStatus.INCOMPLETE)


def finished_runs(run: RunFolder, name: str) -> Iterator[tuple[RunFolder, RunFacts]]:
    """The finished runs of an audit in the folder in which a run lies, in any order, without it.

    What else lies there, and what may not be read, is passed over.
    """
    try:
        folders = [one for one in run.path.parent.iterdir() if one != run.path]
    except OSError:
        return
    for folder in folders:
        facts = _finished(RunFolder(folder))
        if facts is not None and facts.name == name:
            yield RunFolder(folder), facts


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
    """The latest finished run of the same audit that began before this one; None for the first."""
    earlier = [
        (found.started, folder.path.name, folder)
        for folder, found in finished_runs(run, facts.name)
        if found.started <= facts.started and found.run_id != facts.run_id
    ]
    return max(earlier)[2] if earlier else None

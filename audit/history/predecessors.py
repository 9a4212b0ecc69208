"""The runs of one audit that lie beside each other, in one folder."""

from __future__ import annotations

from collections.abc import Iterator

from audit.errors import RunFolderError
from audit.findings import RunFacts, RunStatus, read_facts
from audit.run_folder import RunFolder

_FINISHED = (RunStatus.COMPLETE, RunStatus.INCOMPLETE)


def finished_runs(run: RunFolder, name: str) -> Iterator[tuple[RunFolder, RunFacts]]:
    """The finished runs of an audit in the folder in which a run lies, in any order, without it."""
    for folder in run.path.parent.iterdir():
        beside = RunFolder(folder)
        if folder.is_symlink() or folder == run.path or not beside.run_json.is_file():
            continue
        try:
            facts = read_facts(beside.run_json)
        except RunFolderError:
            continue
        whole = beside.findings.is_file() and beside.scores.is_file()
        if facts.name == name and facts.status in _FINISHED and whole:
            yield beside, facts


def run_before(run: RunFolder, facts: RunFacts) -> RunFolder | None:
    """The latest finished run of the same audit that began before this one; None for the first."""
    earlier = [
        (found.started, folder.path.name, folder)
        for folder, found in finished_runs(run, facts.name)
        if found.started <= facts.started and found.run_id != facts.run_id
    ]
    return max(earlier)[2] if earlier else None

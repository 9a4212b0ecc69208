"""Which runs are kept and which may go: nothing that a person, a comparison or a resume needs.

Only a folder that is wholly a run of ours is ever removed: one with a file in it that no run
writes is somebody's, and a link is never followed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from audit.errors import RunFolderError
from audit.exports import EXPORTS
from audit.findings import Review, RunFacts, RunStatus, read_facts, read_findings
from audit.history import journal
from audit.history.predecessors import accepted_run, is_held, run_before
from audit.run_folder import RunFolder

KEPT = 10
"""Finished runs of an audit that are kept in any case, the latest ones."""
WRITTEN: Final = frozenset(
    {
        *("run.json", "manifest.yaml", "samples.parquet", "scores", "scores.parquet", "donors"),
        *(
            "follow_up",
            "follow_up.parquet",
            "more_images",
            "more_images.parquet",
            "more_follow_up.parquet",
            "second_outlines",
            "second_outlines.parquet",
            "second_follow_up.parquet",
            "outlines",
        ),
        *(
            "masks.parquet",
            "suspect_masks.parquet",
            "controls.json",
            "classes.parquet",
            "classes.csv",
            "findings.json",
        ),
        *("confusions.parquet", "whose_background.parquet", "problems.csv", "cmv", "exhibits"),
        *(
            "cues",
            "theme",
            "fiftyone",
            "report.html",
            "report.pdf",
            "report_files",
            "report.signed.pdf",
        ),
        *("repair.json", "repair", "run.log", "run.log.1", "error.txt", ".lock", ".probe"),
        *(export.file for export in EXPORTS.values()),
    }
)
"""What a run writes into its folder; half-written files have names of their own."""
_GONE = ".pruned-"


class Needed(StrEnum):
    """Why a run is kept."""

    WRITING = "being written"
    ACCEPTED = "accepted"
    REVIEWED = "reviewed"
    SIGNED = "signed"
    LATEST = "among the latest"
    UNFINISHED = "can be resumed"
    COMPARED = "compared with"
    FOREIGN = "holds other files"


@dataclass(frozen=True)
class ListedRun:
    """A run as it lies in a folder.

    Parameters
    ----------
    run : RunFolder
        Where.
    facts : RunFacts
        Its ``run.json``.
    status : str
        As there; ``interrupted`` where it says ``running`` and no process writes.
    needed : tuple of Needed
        Why it is kept; empty: it may go.
    """

    run: RunFolder
    facts: RunFacts
    status: str
    needed: tuple[Needed, ...] = ()

    @property
    def is_finished(self) -> bool:
        """Whether it came to its end."""
        return self.facts.status in (RunStatus.COMPLETE, RunStatus.INCOMPLETE)


def list_runs(folder: str | Path, keep: int = KEPT) -> tuple[ListedRun, ...]:
    """The runs in a folder and in the folders right below it, the oldest of each audit first.

    Parameters
    ----------
    folder : str or Path
        Such as ``runs``.
    keep : int
        Finished runs of an audit that are kept in any case, 1 or more.

    Raises
    ------
    RunFolderError
        There is no such folder.
    """
    root = Path(folder).resolve()
    if not root.is_dir():
        raise RunFolderError(
            f"{folder}: no such folder. Name the one that holds the runs: runs, or --out of serve."
        )
    homes = [root, *(p for p in sorted(root.iterdir()) if p.is_dir() and not p.is_symlink())]
    return tuple(run for home in homes for run in _with_reasons(list(_runs_in(home)), max(1, keep)))


def _runs_in(home: Path) -> Iterator[ListedRun]:
    for folder in home.iterdir():
        run = RunFolder(folder)
        with suppress(OSError, RunFolderError):
            if folder.is_symlink() or not folder.is_dir() or run.run_json.is_symlink():
                continue
            if folder.name.startswith(_GONE):
                continue
            facts = read_facts(run.run_json)
            dead = facts.status is RunStatus.RUNNING and not is_held(run)
            yield ListedRun(run, facts, "interrupted" if dead else facts.status.value)


def _with_reasons(runs: list[ListedRun], keep: int) -> Iterator[ListedRun]:
    """Say of each run of one folder why it is kept."""
    runs.sort(key=lambda one: (one.facts.name, one.facts.started, one.run.path.name))
    reasons: dict[Path, list[Needed]] = {one.run.path: [] for one in runs}
    for one in runs:
        reasons[one.run.path] += _own_reasons(one, [o for o in runs if _is_beside(o, one)], keep)
    by_id: Mapping[str, Path] = {one.facts.run_id: one.run.path for one in runs}
    for one in runs:
        earlier = _laid_beside(one) if reasons[one.run.path] else None
        if earlier is None or earlier not in by_id:
            continue
        if Needed.COMPARED not in reasons[by_id[earlier]]:
            reasons[by_id[earlier]].append(Needed.COMPARED)
    for one in runs:
        yield ListedRun(one.run, one.facts, one.status, tuple(reasons[one.run.path]))


def _is_beside(other: ListedRun, one: ListedRun) -> bool:
    return other.facts.name == one.facts.name


def _own_reasons(one: ListedRun, audit: list[ListedRun], keep: int) -> Iterator[Needed]:
    run, facts = one.run, one.facts
    finished = [other.run.path for other in audit if other.is_finished]
    if is_held(run):
        yield Needed.WRITING
    if facts.run_id == accepted_run(run, facts.name):
        yield Needed.ACCEPTED
    if facts.run_id in _reviewed(run, facts.name):
        yield Needed.REVIEWED
    if (run.path / "report.signed.pdf").exists():
        yield Needed.SIGNED
    if run.path in finished[-keep:] or _is_latest(run):
        yield Needed.LATEST
    if not one.is_finished and not any(
        other.is_finished and other.facts.started > facts.started for other in audit
    ):
        yield Needed.UNFINISHED
    if foreign_in(run):
        yield Needed.FOREIGN


def _reviewed(run: RunFolder, name: str) -> set[str]:
    return {one.run_id for one in journal.read(run.reviews, Review) if one.audit == name}


def _is_latest(run: RunFolder) -> bool:
    link = run.path.parent / "latest"
    return link.is_symlink() and os.readlink(link) == run.path.name


def _laid_beside(one: ListedRun) -> str | None:
    """The ``run_id`` of the run that a run is, or would be, compared with."""
    with suppress(OSError, RunFolderError):
        if one.is_finished:
            comparison = read_findings(one.run.findings).comparison
            return comparison.earlier.run_id if comparison else None
        before = run_before(one.run, one.facts)
        return read_facts(before.run_json).run_id if before else None
    return None


def foreign_in(run: RunFolder) -> list[str]:
    """Names in a run folder that no run writes there."""
    return sorted(
        p.name
        for p in run.path.iterdir()
        if p.name not in WRITTEN and not p.name.startswith(".writing-")
    )


def prune(folder: str | Path, keep: int = KEPT) -> tuple[RunFolder, ...]:
    """Remove the runs of :func:`list_runs` that nothing needs; what is known of them stays.

    ``history.parquet``, reviews and baselines beside the runs are not touched.

    Returns
    -------
    tuple of RunFolder
        Those that are gone.
    """
    found = list_runs(folder, keep)
    for home in {one.run.path.parent for one in found}:
        # What an earlier call began, and something ended.
        for leftover in home.glob(f"{_GONE}*"):
            if not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
    return tuple(one.run for one in found if not one.needed and _removed(one.run))


def _removed(run: RunFolder) -> bool:
    """Remove a run folder under its lock; False where another process has taken it by now."""
    gone = run.path.with_name(f"{_GONE}{run.path.name}")
    try:
        with run.locked():
            # Half a run must never be taken for one.
            run.path.rename(gone)
            shutil.rmtree(gone)
    except RunFolderError:
        return False
    return True


def names_of(runs: Collection[RunFolder]) -> list[str]:
    """Folder names, for people."""
    return [f"{run.path.parent.name}/{run.path.name}" for run in runs]

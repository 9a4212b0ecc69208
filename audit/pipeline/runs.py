"""Where runs lie, one folder an audit below ``runs/`` or wherever is asked, and what one holds."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from audit.errors import RunFolderError
from audit.findings import Findings, RunFacts, RunStatus, read_facts, read_findings
from audit.pipeline.opening import LaidOver, laid_over
from audit.pipeline.report import report_again, reports_of
from audit.pipeline.session import Session
from audit.run_folder import RunFolder, file_slug

RUNS = Path("runs")


@dataclass(frozen=True)
class Run:
    """A finished run, as its folder holds it; nothing is kept in memory.

    Parameters
    ----------
    path : Path
        The run folder.
    """

    path: Path

    @property
    def folder(self) -> RunFolder:
        """Where each file of the run lies."""
        return RunFolder(self.path)

    @property
    def findings(self) -> Findings:
        """What ``findings.json`` holds: one finding a class, the most urgent first."""
        return read_findings(self.folder.findings)

    @property
    def facts(self) -> RunFacts:
        """What ``run.json`` holds: status, fingerprint, versions, device, timings, counts."""
        return read_facts(self.folder.run_json)

    @property
    def classes(self) -> pd.DataFrame:
        """One row a class: :data:`audit.verdicts.tables.CLASS_COLUMNS`, undefined numbers NaN.

        Counts (``images``, ``scored``, ``judged``), accuracy (``precision``, ``recall``, ``f1``),
        where the maps lie (``foreground_mass``, ``mass_lift``), what the background does
        (``background_gap`` in probability, ``margin_gap`` in class score, ``attraction``,
        ``background_only``), each with ``_low`` and ``_high``, its 95 % interval; and what follows
        (``verdict``, ``kind``, ``attractor``, ``contrast_class``).
        """
        return pd.read_parquet(self.folder.classes)

    @property
    def scores(self) -> pd.DataFrame:
        """One row a sample: :data:`audit.measuring.columns.SCORE_COLUMNS`, undefined values null.

        ``sample_id``, ``label``, ``prediction``, ``confidence``, ``margin`` (class score minus
        best other), ``status``; ``foreground_area`` and ``foreground_mass`` (0..1), ``mass_lift``;
        and what each intervention made of the answer (``swap_same_*``, ``swap_other_*``,
        ``background_only_*``, ``object_only_*``).
        """
        return pd.read_parquet(self.folder.scores)

    def report(self, manifest: str | Path | None = None, *, overrides: LaidOver = ()) -> list[Path]:
        """Decide and render again from the stored scores; no model is loaded.

        Parameters
        ----------
        manifest : str or Path, optional
            With the thresholds to decide by; None: the run's own copy.
        overrides : sequence of str, or mapping
            ``"key.path=value"`` each, or values by key path.

        Returns
        -------
        list of Path
            The reports.

        Raises
        ------
        AuditError
            There are no scores, the manifest cannot be, or the report failed.
        """
        report_again(self.folder, manifest, laid_over(overrides))
        return reports_of(self.folder)


def open_run(path: str | Path) -> Run:
    """Open the folder of a run that has come as far as its findings.

    Raises
    ------
    RunFolderError
        The folder holds no such run, or one of another version of this tool.
    """
    run = Run(Path(path).resolve())
    folder = run.folder
    if not folder.findings.exists() or not folder.run_json.exists():
        raise RunFolderError(f"{path}: no finished run here. Run the audit, or resume it.")
    _ = run.facts
    return run


def home_of(session: Session, runs: Path | None = None) -> Path:
    """The folder in which the runs of an audit lie, each in one of its own."""
    return (runs or RUNS).resolve() / file_slug(session.manifest.name)


def folder_for(
    session: Session, out: str | Path | None, *, resume: bool, runs: Path | None = None
) -> Path:
    """The folder that a run writes into.

    Without `out` that is a new folder below ``<runs>/<name of the audit>/``; or, to resume, the
    newest one there of the same fingerprint that did not finish. Without `runs` that is ``runs``
    in the current folder.

    Raises
    ------
    RunFolderError
        No folder can be made there.
    """
    if out is not None:
        return Path(out).resolve()
    home = home_of(session, runs)
    if resume and home.is_dir():
        for folder in sorted(home.iterdir(), reverse=True):
            if not folder.is_symlink() and _unfinished(folder, session.key):
                return folder
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for number in itertools.count(1):
        folder = home / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            # Made here, so that nobody who begins in the same second takes it, too.
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise RunFolderError(f"{folder}: cannot be written ({error})") from error
        return folder
    raise AssertionError


def _unfinished(folder: Path, key: str) -> bool:
    try:
        facts = read_facts(folder / "run.json")
    except RunFolderError:
        return False
    return facts.fingerprint == key and facts.status in (RunStatus.RUNNING, RunStatus.FAILED)


def point_latest(folder: Path) -> None:
    """Let ``latest`` beside a run below ``runs/`` point to it."""
    if RUNS.resolve() not in folder.parents:
        return
    link, temporary = folder.parent / "latest", folder.parent / f".latest-{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(folder.name)
    temporary.replace(link)

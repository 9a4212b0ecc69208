"""Baselines, the list of runs, and which of them may go."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from planted_history import CLASSES, write_night

from audit.errors import RunFolderError
from audit.findings import Change, read_facts, read_findings, write_findings
from audit.history.predecessors import run_before
from audit.pipeline.compare import with_history
from audit.pipeline.retention import WRITTEN, Needed, list_runs, prune
from audit.pipeline.review import accept_run, review
from audit.report.sentences.history import changes_line
from audit.run_folder import RunFolder
from flows.cli.review import review as review_command
from flows.cli.runs import runs as runs_command

QUIET = dict.fromkeys(CLASSES, 0.01)
LEANING = {**QUIET, "bee": 0.6}


def nights(home: Path, count: int, gate: str = "never") -> list[RunFolder]:
    """Nights in which a class leans on its background from the second on, each with its record."""
    home.mkdir(exist_ok=True)
    found = []
    for day in range(1, count + 1):
        gaps = LEANING if day > 1 else QUIET
        run = write_night(home / f"night-{day:02d}", gaps, started=day, gate=gate)
        write_findings(run.findings, with_history(run, read_findings(run.findings)))
        found.append(run)
    return found


def kept(home: Path, keep: int = 1) -> dict[str, set[Needed]]:
    return {one.run.path.name: set(one.needed) for one in list_runs(home, keep)}


def test_without_an_accepted_run_the_last_one_is_the_baseline_and_else_that_one(
    tmp_path: Path,
) -> None:
    runs = nights(tmp_path, 4, gate="new")
    third = read_findings(runs[2].findings)
    assert third.summary.gate_passed
    before = run_before(runs[3], read_facts(runs[3].run_json))
    assert before == runs[2]
    accept_run(runs[0].path, by="Ada", reason="clean")
    assert run_before(runs[3], read_facts(runs[3].run_json)) == runs[0]
    # What the accepted run did not have is news every night, until somebody accepts that.
    fourth = with_history(runs[3], read_findings(runs[3].findings))
    assert not fourth.summary.gate_passed
    assert fourth.comparison is not None
    assert fourth.comparison.earlier_is_accepted
    assert [one.label_name for one in fourth.comparison.with_change(Change.NEW)] == ["bee"]
    assert changes_line(fourth.comparison).startswith("Since the accepted run")
    # A run that lies before the accepted one is laid beside what was before it.
    accept_run(runs[2].path, by="Ada", reason="it is put up with")
    assert run_before(runs[1], read_facts(runs[1].run_json)) == runs[0]
    assert with_history(runs[3], read_findings(runs[3].findings)).summary.gate_passed
    # And in an accepted run nothing is new, whatever was before it.
    accept_run(runs[1].path, by="Ada", reason="it is put up with")
    second = with_history(runs[1], read_findings(runs[1].findings))
    assert second.summary.gate_passed
    assert second.comparison is not None
    assert second.comparison.with_change(Change.NEW)


def test_only_a_finished_run_is_accepted_and_by_somebody(tmp_path: Path) -> None:
    (run,) = nights(tmp_path, 1)
    with pytest.raises(RunFolderError, match="--by: .*says nothing"):
        accept_run(run.path, by=" - ", reason="fine")
    running = write_night(tmp_path / "running", QUIET, started=2, status="running")
    with pytest.raises(RunFolderError, match="only a finished one"):
        accept_run(running.path, by="Ada", reason="fine")
    assert not run.baselines.exists()
    review_command(str(run.path), by="Ada", reason="fine", accept_run=True)
    assert json.loads(run.baselines.read_text())["run_id"] == read_facts(run.run_json).run_id
    with pytest.raises(typer.BadParameter, match="leave the others out"):
        review_command(str(run.path), by="A", reason="x", label_name="bee", accept_run=True)
    with pytest.raises(typer.BadParameter, match="--accept-run"):
        review_command(str(run.path), by="A", reason="x", label_name="bee")


def test_what_somebody_or_something_needs_is_kept(tmp_path: Path) -> None:
    runs = nights(tmp_path, 8)
    accept_run(runs[4].path, by="Ada", reason="fine")
    review(runs[2].path, "bee", "waive", by="Ada", reason="known")
    (runs[1].path / "report.signed.pdf").write_bytes(b"%PDF")
    stopped = write_night(tmp_path / "old", QUIET, started=3, status="failed")
    resumable = write_night(tmp_path / "new", QUIET, started=9, status="running")
    found = kept(tmp_path)
    assert found["night-08"] >= {Needed.LATEST}
    # By its record the seventh is what the eighth was laid beside.
    assert found["night-07"] == {Needed.COMPARED}
    assert found["night-06"] == set()
    assert found["night-05"] >= {Needed.ACCEPTED}
    # That of the accepted; the reviewed; that of the reviewed and signed; that of the signed.
    assert found["night-04"] == {Needed.COMPARED}
    assert found["night-03"] >= {Needed.REVIEWED}
    assert found["night-02"] == {Needed.SIGNED, Needed.COMPARED}
    assert found["night-01"] == {Needed.COMPARED}
    assert found["old"] == set()
    assert found["new"] == {Needed.UNFINISHED}
    assert {one.status for one in list_runs(tmp_path) if one.run == resumable} == {"interrupted"}
    assert set(prune(tmp_path, 1)) == {runs[5], stopped}
    left = {p.name for p in tmp_path.iterdir() if p.is_dir()}
    assert left == set(found) - {"night-06", "old"}
    assert prune(tmp_path, 1) == ()


def test_nothing_but_whole_runs_of_ours_is_removed(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "farm", tmp_path / "elsewhere"
    runs = nights(home, 5)
    (linked,) = nights(elsewhere, 1)
    (runs[0].path / "notes.txt").write_text("somebody's")
    (home / "link").symlink_to(linked.path)
    (home / "photographs").mkdir()
    (home / "photographs" / "one.png").write_bytes(b"png")
    (home / "odd").mkdir()
    (home / "odd" / "run.json").write_text('{"schema_version": 2}')
    (home / "latest").symlink_to(runs[1].path.name)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (runs[2].path / "exhibits").symlink_to(outside)
    with runs[1].locked():
        assert kept(home)["night-02"] >= {Needed.WRITING, Needed.LATEST}
    assert kept(home)["night-01"] >= {Needed.FOREIGN}
    assert prune(home, 1) == (runs[2],)
    assert (outside / "kept").read_text() == "kept"
    left = {p.name for p in home.iterdir()}
    others = {"link", "photographs", "odd", "latest"}
    assert left >= others | {"night-01", "night-02", "night-04", "night-05"}
    assert linked.run_json.exists()
    assert runs[0].path.joinpath("notes.txt").exists()


def test_no_file_that_a_run_folder_names_is_taken_for_somebody_elses() -> None:
    run = RunFolder(Path("home/run"))
    named = [name for name, value in vars(RunFolder).items() if isinstance(value, property)]
    paths = [getattr(run, name) for name in named] + [run.part(0)]
    inside = {p.relative_to(run.path).parts[0] for p in paths if run.path in p.parents}
    assert inside <= WRITTEN
    assert "scores" in inside


def test_each_audit_of_a_folder_keeps_its_own(tmp_path: Path) -> None:
    for name in ("farm", "zoo"):
        (tmp_path / name).mkdir()
        for day in (1, 2, 3):
            write_night(tmp_path / name / f"{day}", QUIET, started=day, name=name)
    assert {run.path.parent.name for run in prune(tmp_path, 2)} == {"farm", "zoo"}
    assert [p.name for p in sorted((tmp_path / "zoo").iterdir()) if p.is_dir()] == ["2", "3"]


def test_the_command_removes_nothing_unless_it_is_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = nights(tmp_path, 3)
    runs_command("prune", folder=str(tmp_path), keep=1, as_json=True)
    assert all(run.path.exists() for run in runs)
    said = json.loads(capsys.readouterr().out)["runs"]
    assert [one["kept"] for one in said] == [[], ["compared with"], ["among the latest"]]
    runs_command("prune", folder=str(tmp_path), keep=1, yes=True)
    assert [run.path.exists() for run in runs] == [False, True, True]
    with pytest.raises(RunFolderError, match="no such folder"):
        runs_command("list", folder=str(tmp_path / "nowhere"))
    with pytest.raises(typer.BadParameter):
        runs_command("purge", folder=str(tmp_path))

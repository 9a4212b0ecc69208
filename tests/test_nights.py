"""A night on what another night audited: two triggers, one measurement, and a gate that holds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import typer
from auditing import opened
from planted import write_dataset
from planted_history import write_night

from audit.findings import (
    Change,
    Findings,
    Outcome,
    RunStatus,
    outcome,
    read_facts,
    read_findings,
)
from audit.manifest import load_manifest
from audit.pipeline import nights as nights_of_one_audit
from audit.pipeline.nights import alone, close_abandoned, unchanged_run
from audit.pipeline.retention import foreign_in
from audit.pipeline.review import accept_run, review
from audit.pipeline.run import night, take_steps
from audit.pipeline.run_json import update_facts
from audit.pipeline.runs import home_of
from audit.pipeline.session import Session
from audit.pipeline.settings import settings_key
from audit.report.sentences.outcome import ending
from audit.run_folder import RunFolder
from flows.cli.run import run as run_command

# Who waits for another audit looks once a second; here there is nobody to be spared.
nights_of_one_audit._EVERY = 0.02
SETTINGS = ("report.formats=[]", "verdict.minimum_images=4", "run.workers=1")


def begun(manifest: Path, *overrides: str) -> Session:
    return opened(manifest, "", *SETTINGS, *overrides)


def one_night(manifest: Path, *overrides: str) -> tuple[RunFolder, Findings, bool]:
    """The folder of a night, what it found, and whether it had to measure."""
    runs = manifest.parent / "runs"
    with night(begun(manifest, *overrides), None, resume=True, runs=runs) as (session, known):
        findings = known or take_steps(session)
    return session.run, findings, known is None


@pytest.fixture(scope="module")
def two_triggers(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, list[tuple[RunFolder, Findings, bool]]]:
    """Two nights that begin at once, the second while the first has not written anything yet."""
    manifest = write_dataset(tmp_path_factory.mktemp("nights"), [1], per_class=8)
    runs = manifest.parent / "runs"
    with ThreadPoolExecutor(1) as threads:
        with night(begun(manifest), None, resume=True, runs=runs) as (session, known):
            assert known is None
            later = threads.submit(one_night, manifest)
            time.sleep(0.5)
            assert not later.done()
            findings = take_steps(session)
        return manifest, [(session.run, findings, True), later.result(timeout=60)]


@pytest.fixture
def nights(
    two_triggers: tuple[Path, list[tuple[RunFolder, Findings, bool]]], tmp_path: Path
) -> tuple[Path, RunFolder]:
    """The manifest and the one run of a copy."""
    copy = tmp_path / "copy"
    shutil.copytree(two_triggers[0].parent, copy)
    name = two_triggers[1][0][0].path.relative_to(two_triggers[0].parent)
    return copy / two_triggers[0].name, RunFolder(copy / name)


def test_of_two_triggers_at_once_one_measures_and_both_have_the_findings(
    two_triggers: tuple[Path, list[tuple[RunFolder, Findings, bool]]],
) -> None:
    (first, found, _), (second, again, measured) = two_triggers[1]
    assert not measured
    assert first.path == second.path
    assert again.findings == found.findings
    assert again.summary.suspect == 1
    assert [p.name for p in first.path.parent.iterdir()] == [first.path.name]


def test_a_night_on_the_same_measures_nothing_and_says_so(nights: tuple[Path, RunFolder]) -> None:
    manifest, run = nights
    written = {p: p.stat().st_mtime_ns for p in run.path.rglob("*") if p.is_file()}
    for path in (manifest.parent / "images").rglob("*.png"):
        os.utime(path, (1, 1))
    again, findings, measured = one_night(manifest)
    assert (again.path, measured) == (run.path, False)
    assert outcome(findings) is Outcome.UNCHANGED
    assert findings.comparison is not None
    assert {one.change for one in findings.comparison.classes} == {Change.UNCHANGED}
    assert run.path.name in ending(findings)
    assert "nothing was measured again" in ending(findings)
    assert "1 class found suspect" in ending(findings)
    now = {p: p.stat().st_mtime_ns for p in run.path.rglob("*") if p.is_file()}
    changed = {p.name for p in now if now[p] != written.get(p)}
    assert changed <= {"run.json", ".lock"}
    assert len(read_facts(run.run_json).confirmed) == 2


def test_a_gate_that_failed_fails_again_until_somebody_waives(
    nights: tuple[Path, RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, run = nights
    for gate in ("suspect", "new"):
        for _ in range(2):
            _, findings, measured = one_night(manifest, f"gate={gate}")
            assert not measured
            assert outcome(findings) is Outcome.GATE_FAILED
    assert "nothing was measured again" in ending(findings)
    suspect = findings.findings[0].label_name
    review(run.path, suspect, "waive", by="Ada", reason="known")
    _, findings, measured = one_night(manifest, "gate=suspect")
    assert not measured
    assert outcome(findings) is Outcome.UNCHANGED
    assert read_findings(run.findings).summary.gate_passed
    review(run.path, suspect, "waive", by="Ada", reason="for a while", until="2020-01-01")
    monkeypatch.chdir(manifest.parent)
    overrides = list(SETTINGS)
    with pytest.raises(typer.Exit) as left:
        run_command(str(manifest), device="cpu", overrides=overrides, gate="suspect")
    assert left.value.exit_code == 3


def test_an_accepted_night_is_no_news(nights: tuple[Path, RunFolder]) -> None:
    manifest, run = nights
    assert outcome(one_night(manifest, "gate=new")[1]) is Outcome.GATE_FAILED
    accept_run(run.path, by="Ada", reason="put up with")
    assert outcome(one_night(manifest, "gate=new")[1]) is Outcome.UNCHANGED
    assert outcome(one_night(manifest, "gate=suspect")[1]) is Outcome.GATE_FAILED


def test_a_run_writes_nothing_that_pruning_would_take_for_somebody_elses(
    nights: tuple[Path, RunFolder],
) -> None:
    assert foreign_in(nights[1]) == []


def test_what_differs_is_audited(nights: tuple[Path, RunFolder]) -> None:
    manifest, run = nights

    def found(*overrides: str) -> RunFolder | None:
        session = begun(manifest, *overrides)
        return unchanged_run(home_of(session, manifest.parent / "runs"), session)

    assert found() == run
    assert found("run.workers=2", "run.shard_size=7", "gate=suspect") == run
    for other in ("verdict.fdr=0.01", "run.seed=1", "report.title=x", "interventions.donors=3"):
        assert found(other) is None, other
    path = sorted((manifest.parent / "images").rglob("*.png"))[0]
    content = path.read_bytes()
    path.write_bytes(content + b"\0")
    assert found() is None
    path.write_bytes(content)
    assert found() == run
    # Another model was audited since: that it is gone again is news.
    later = shutil.copytree(run.path, run.path.with_name("later"))
    facts = read_facts(run.run_json)
    update_facts(RunFolder(later), fingerprint="0" * 64, started="2999-01-01T00:00:00Z")
    assert found() is None
    update_facts(RunFolder(later), status=RunStatus.FAILED)
    assert found() == run
    assert read_facts(run.run_json) == facts


def test_an_incomplete_run_stands_where_another_would_not_read_more(
    nights: tuple[Path, RunFolder],
) -> None:
    manifest, run = nights
    session = begun(manifest)
    home = run.path.parent
    update_facts(run, status=RunStatus.INCOMPLETE)
    assert unchanged_run(home, session) == run
    scores = pd.read_parquet(run.scores)
    scores.loc[0, "reason"] = "TIMEOUT"
    scores.to_parquet(run.scores)
    assert unchanged_run(home, session) is None


def test_the_files_of_a_report_are_settings_too(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [1], per_class=1)
    (tmp_path / "logo.png").write_bytes(b"one")
    named = load_manifest(manifest, ["report.logo=logo.png"])
    key = settings_key(named)
    assert settings_key(named) == key != settings_key(load_manifest(manifest))
    (tmp_path / "logo.png").write_bytes(b"two")
    assert settings_key(named) != key


def test_a_trigger_that_died_is_waited_for_by_nobody(tmp_path: Path) -> None:
    # As a trigger holds it, without what a trigger imports.
    held = str(tmp_path / f".auditing-{16 * 'k'}")
    script = (
        "import fcntl, os, time\n"
        f"handle = os.open({held!r}, os.O_RDWR | os.O_CREAT)\n"
        "fcntl.flock(handle, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\ntime.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        entered = threading.Event()

        def wait() -> None:
            with alone(tmp_path, "k" * 64):
                entered.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not entered.wait(0.3)
        with alone(tmp_path, "l" * 64):
            pass  # Another fingerprint waits for nobody.
        child.send_signal(signal.SIGKILL)
        assert entered.wait(30)
        waiting.join()
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    assert list(tmp_path.iterdir()) == []


def test_runs_whose_process_died_do_not_stay_running(tmp_path: Path) -> None:
    dead, alive, mine = (
        write_night(tmp_path / name, {"ant": 0.0}, started=1, status="running")
        for name in ("dead", "alive", "mine")
    )
    update_facts(mine, fingerprint="m" * 64)
    elsewhere = write_night(tmp_path.parent / "linked", {"ant": 0.0}, started=1, status="running")
    (tmp_path / "link").symlink_to(elsewhere.path)
    (tmp_path / "notes.txt").write_text("somebody's")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    with alive.locked():
        close_abandoned(tmp_path, "m" * 64)
    found = {run.path.name: read_facts(run.run_json).status for run in (dead, alive, mine)}
    running = RunStatus.RUNNING
    assert found == {"dead": RunStatus.FAILED, "alive": running, "mine": running}
    assert read_facts(elsewhere.run_json).status is running

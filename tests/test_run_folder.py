from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import RunFolderError
from audit.pipeline.run_json import mark_failed, timed
from audit.run_folder import RunFolder, file_slug
from audit.writing import write_atomically, write_bytes, write_json


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")

    def fail(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_damaged_record_hides_no_error(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.run_json.write_text("{half")
    with pytest.raises(ZeroDivisionError), timed(run, "scores"):
        raise ZeroDivisionError
    mark_failed(run)
    with pytest.raises(RunFolderError, match=r"run\.json"), timed(run, "scores"):
        pass


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})


def test_a_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    code = (
        "import sys; from pathlib import Path; from audit.run_folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).locked(): print('held')"
    )
    command = [sys.executable, "-c", code, str(run.path)]
    with run.locked():
        second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "another audit is writing here (process " in second.stderr
    third = subprocess.run(command, capture_output=True, text=True, check=False)
    assert third.stdout == "held\n"


def test_the_lock_is_taken_through_no_link(tmp_path: Path) -> None:
    run, own = RunFolder(tmp_path / "run"), tmp_path / "diary.txt"
    own.write_text("mine")
    run.path.mkdir()
    (run.path / ".lock").symlink_to(own)
    with pytest.raises(RunFolderError, match="cannot be written"), run.locked():
        pass
    assert own.read_text() == "mine"


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunFolderError, match=r"not empty and not a run folder .*thesis\.tex"):
        RunFolder(tmp_path).prepare()


def test_leftovers_of_a_crash_are_swept(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.prepare()
    write_json(run.run_json, {})
    (run.path / "scores").mkdir()
    (run.path / "scores" / ".writing-abc.parquet").write_bytes(b"torn")
    # A temporary folder, such as further outlines are drawn into.
    (run.path / ".writing-folder" / "b").mkdir(parents=True)
    (run.path / ".writing-folder" / "b" / ".writing-c.png").write_bytes(b"torn")
    run.prepare()
    assert not list(run.path.rglob(".writing-*"))
    assert list((run.path / "scores").iterdir()) == []
    assert run.run_json.exists()


@given(st.text(max_size=400))
def test_a_slug_is_always_a_plain_file_name(name: str) -> None:
    slug = file_slug(name)
    assert 1 <= len(slug) <= 40
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not slug.startswith("-")

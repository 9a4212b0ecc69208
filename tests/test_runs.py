from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from audit.errors import RunFolderError
from audit.pipeline.runs import folder_for, point_latest


def session_of(name: str, key: str) -> Any:
    """As much of a session as the choice of a folder asks."""
    return SimpleNamespace(manifest=SimpleNamespace(name=name), key=key)


def test_who_begins_in_the_same_second_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    sessions = [session_of("wolves", str(number)) for number in range(12)]
    with ThreadPoolExecutor(12) as threads:
        folders = list(
            threads.map(lambda s: folder_for(s, None, resume=True, runs=tmp_path), sessions)
        )
    assert len(set(folders)) == 12
    assert {folder.parent for folder in folders} == {tmp_path / "wolves"}
    assert all(folder.is_dir() for folder in folders)
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="cannot be written"):
        folder_for(sessions[0], None, resume=True, runs=tmp_path / "file")


def test_latest_points_to_the_newest_run_below_runs_and_to_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "runs" / "wolves"
    for name in ("20260101-000000", "20260102-000000"):
        (home / name).mkdir(parents=True)
        point_latest(home / name)
        assert (home / "latest").resolve() == home / name
    elsewhere = tmp_path / "elsewhere" / "run"
    elsewhere.mkdir(parents=True)
    point_latest(elsewhere)
    assert [p.name for p in elsewhere.parent.iterdir()] == ["run"]

from __future__ import annotations

from pathlib import Path

import pytest

from audit.pipeline.runs import point_latest


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

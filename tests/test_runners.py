"""Who does the shards changes nothing: processes and a real Dask cluster give the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from auditing import scored
from planted import write_dataset

from audit.errors import ManifestError
from flows.runners import task_runner

ROOT = Path(__file__).parents[1]
PATHS = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"


@pytest.mark.parametrize("runner", ["processes", "dask"])
def test_scores_are_the_same_to_the_last_byte_wherever_the_shards_went(
    runner: str, tmp_path: Path, prefect_server: str
) -> None:
    manifest = write_dataset(tmp_path, [1], per_class=3)
    here = scored(manifest, tmp_path / "here", "run.shard_size=5")
    done = subprocess.run(
        [sys.executable, "-m", "flows", "run", str(manifest), "--out", str(tmp_path / "there"),
         "--device", "cpu", "--set", "report.formats=[]", "--set", "run.shard_size=5",
         "--set", f"run.runner={runner}"],
        env={**os.environ, "PREFECT_API_URL": prefect_server, "PYTHONPATH": PATHS},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    # Three images a class: nothing can be judged.
    assert done.returncode == 4, done.stderr
    assert "without Prefect" not in done.stderr
    there = tmp_path / "there"
    assert len(list((there / "scores").glob("part-*.parquet"))) == 4
    assert (there / "scores.parquet").read_bytes() == here.scores.read_bytes()


def test_an_address_goes_to_the_cluster() -> None:
    assert task_runner("dask:tcp://host:8786").address == "tcp://host:8786"
    assert task_runner("dask").address is None


@pytest.mark.parametrize("asked", ["pbs", "threads:4", "processes:2", ""])
def test_another_runner_is_refused(asked: str) -> None:
    with pytest.raises(ManifestError, match="expected threads, processes, dask"):
        task_runner(asked)


def test_a_runner_whose_package_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "prefect_ray", None)
    with pytest.raises(ManifestError, match=r"pip install 'saliency-audit\[ray\]'"):
        task_runner("ray:auto")

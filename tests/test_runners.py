"""Who does the shards changes nothing: processes and a real Dask cluster give the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from auditing import scored
from planted import write_dataset
from prefect.task_runners import ProcessPoolTaskRunner
from typer.testing import CliRunner

from audit.errors import ManifestError
from flows import audit_dataset as flow_module
from flows.audit_dataset import audit_dataset
from flows.cli import app
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


def test_a_served_run_sends_its_shards_where_the_manifest_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_server: str
) -> None:
    assert prefect_server
    manifest = write_dataset(tmp_path, [], per_class=3)
    given: list[object] = []

    def run_as_flow(_session: object, _progress: object, shards_go_to: object) -> str:
        given.append(shards_go_to)
        return "ended"

    monkeypatch.setattr(flow_module, "run_as_flow", run_as_flow)
    ended = audit_dataset.fn(
        str(manifest), out=str(tmp_path / "run"), device="cpu", overrides=["run.runner=processes"]
    )
    assert ended == "ended"
    (runner,) = given
    assert isinstance(runner, ProcessPoolTaskRunner)


def test_where_a_served_audit_sends_its_shards_is_an_option(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [], per_class=2)
    file = tmp_path / "prefect.yaml"
    words = ["deploy", str(manifest), "--runner", "processes", "--file", str(file)]
    CliRunner().invoke(app, words, catch_exceptions=False)
    (deployment,) = yaml.safe_load(file.read_text())["deployments"]
    assert deployment["parameters"]["overrides"] == ["run.runner=processes"]

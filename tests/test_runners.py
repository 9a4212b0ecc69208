"""Who does the shards changes nothing: processes and a real Dask cluster give the same bytes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from auditing import opened, scored
from distributed import LocalCluster
from planted import leaner, write_dataset
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import ProcessPoolTaskRunner
from typer.testing import CliRunner

from audit.cancellation import Stopped
from audit.errors import ManifestError
from audit.pipeline import measure
from audit.pipeline.handles import Handle
from audit.pipeline.prepare import prepare
from audit.pipeline.progress import SILENT
from flows import audit_dataset as flow_module
from flows import runners
from flows.audit_dataset import audit_dataset
from flows.cli import app
from flows.runners import task_runner
from flows.server import server_for_workers
from flows.tasks import AsTasks


@pytest.fixture
def one_worker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A runner with one worker in a process of its own: two import twice, and show no more."""
    if request.param == "processes":
        monkeypatch.setattr(runners, "_CPU_PROCESSES", 1)
        yield "processes"
        return
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        yield f"dask:{cluster.scheduler_address}"


@pytest.mark.parametrize("one_worker", ["processes", "dask"], indirect=True)
def test_scores_are_the_same_to_the_last_byte_wherever_the_shards_went(
    one_worker: str, tmp_path: Path, prefect_server: str
) -> None:
    manifest = leaner(write_dataset(tmp_path, [1], per_class=2))
    here = scored(manifest, tmp_path / "here", "run.shard_size=4")
    session = opened(manifest, tmp_path / "there", "run.shard_size=4")
    # Workers are sent the flow, too, with all that its function sees.
    handle = Handle(session)

    @flow(task_runner=task_runner(one_worker))
    def shards() -> None:
        AsTasks().score_shards(handle.session, SILENT)

    with session.loader:
        prepare(session)
        with temporary_settings({PREFECT_API_URL: prefect_server}), server_for_workers():
            shards()
        assert not any(measure.score(session, shard) for shard in range(session.shards))
        measure.gather_scores(session)
    assert session.shards == 3
    assert session.run.scores.read_bytes() == here.scores.read_bytes()


def test_the_command_line_says_who_gets_the_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []

    def run_flow(_session: object, shards_go_to: object) -> None:
        given.append(shards_go_to)
        raise Stopped

    monkeypatch.setattr(importlib.import_module("flows.cli.run"), "_run_flow", run_flow)
    manifest = write_dataset(tmp_path, [], per_class=2)
    common = ["run", str(manifest), "--device", "cpu"]
    for number, words in enumerate((["--set", "run.runner=processes"], ["--runner", "dask"])):
        CliRunner().invoke(app, [*common, "--out", str(tmp_path / str(number)), *words])
    assert [type(one).__name__ for one in given] == ["ProcessPoolTaskRunner", "DaskTaskRunner"]


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

"""Who does the shards changes nothing: processes and a real Dask cluster give the same bytes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
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
from audit.pipeline.handles import Handle, few_at_a_time
from audit.pipeline.prepare import prepare
from audit.pipeline.progress import SILENT
from flows import audit_dataset as flow_module
from flows import runners
from flows.audit_dataset import audit_dataset
from flows.cli import app
from flows.runners import own_gpus, task_runner
from flows.server import server_for_workers
from flows.tasks import AsTasks


@pytest.fixture
def one_worker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A runner with one worker in a process of its own: two import twice, and show no more."""
    if request.param == "ray":
        # Not in the lock, for its size; run by hand where it is installed.
        pytest.importorskip("prefect_ray")
        # Its workers see what is installed, beside the manifest, or on PYTHONPATH.
        paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        yield "ray"
        return
    if request.param == "processes":
        monkeypatch.setattr(runners, "_CPU_PROCESSES", 1)
        yield "processes"
        return
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        yield f"dask:{cluster.scheduler_address}"


@pytest.mark.parametrize("one_worker", ["processes", "dask", "ray"], indirect=True)
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


def test_ray_joins_a_cluster_where_it_is_told_to_and_only_there() -> None:
    pytest.importorskip("prefect_ray")
    import ray

    # Prefect would start a cluster of its own for the second, and join any that is there for both.
    assert task_runner("ray").init_kwargs["address"] == "local"
    with pytest.raises(ConnectionError, match="Could not find any running Ray"):
        task_runner("ray:auto").__enter__()
    assert not ray.is_initialized()
    assert task_runner("ray:ray://host:10001").address == "ray://host:10001"


def test_each_task_for_ray_asks_for_a_gpu_where_the_audit_works_on_one() -> None:
    pytest.importorskip("prefect_ray")
    from prefect_ray.context import RemoteOptionsContext

    def asked(runner: str, device: str) -> dict[str, object]:
        with own_gpus(task_runner(runner), torch.device(device)):
            return RemoteOptionsContext.get().current_remote_options

    assert asked("ray", "cuda") == {"num_gpus": 1}
    assert asked("ray", "cpu") == asked("threads", "cuda") == {}


def test_few_shards_wait_with_a_runner_at_a_time() -> None:
    waiting: set[int] = set()
    most: list[int] = []

    class Future:
        def __init__(self, shard: int) -> None:
            self.shard = shard
            waiting.add(shard)
            most.append(len(waiting))

        def result(self) -> None:
            waiting.remove(self.shard)

    few_at_a_time(Future, range(10), 3)
    assert len(most) == 10
    assert max(most) == 3
    assert waiting == set()


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

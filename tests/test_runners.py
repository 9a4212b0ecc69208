"""Who does the shards changes nothing: processes and a real Dask cluster give the same bytes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from auditing import opened, scored
from dask.base import get_annotations
from distributed import LocalCluster
from planted import leaner, write_dataset
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import ProcessPoolTaskRunner
from typer.testing import CliRunner

from audit.cancellation import Stopped
from audit.errors import ManifestError
from audit.manifest import RunnerSection
from audit.pipeline import measure
from audit.pipeline.cmv_material import Material
from audit.pipeline.cmv_orders import orders_of
from audit.pipeline.cmv_pictures import draw_cmvs
from audit.pipeline.devices import free_gpus, take_gpu
from audit.pipeline.handles import Handle, few_at_a_time
from audit.pipeline.prepare import prepare
from audit.pipeline.progress import SILENT
from audit.pipeline.session import Session
from audit.pipeline.steps import SEQUENTIAL, StepRunner
from flows import audit_dataset as flow_module
from flows.audit_dataset import audit_dataset
from flows.cli import app
from flows.runners import own_gpus, task_runner
from flows.server import server_for_workers
from flows.tasks import AsTasks


def asked(word: str) -> RunnerSection:
    """As a manifest says it by one word."""
    return RunnerSection.model_validate(word)


@pytest.fixture
def one_worker(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunnerSection]:
    """A runner with one worker in a process of its own: two import twice, and show no more."""
    if request.param == "ray":
        # There is none yet for the newest Python.
        pytest.importorskip("prefect_ray")
        # Its workers see what is installed, beside the manifest, or on PYTHONPATH.
        paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        yield asked("ray")
        return
    if request.param == "processes":
        yield RunnerSection(kind="processes", workers=1)
        return
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield asked(f"dask:{cluster.scheduler_address}")


def draw(session: Session, runner: StepRunner) -> dict[str, bytes]:
    """The CMVs of two classes, made by somebody, as files."""
    classes = {0: "ant", 1: "bee"}
    orders = orders_of(session.manifest.cmv, classes)
    draw_cmvs(session.run, classes, orders, Material(session), runner=runner)
    return {path.name: path.read_bytes() for path in session.run.cmv.iterdir()}


@pytest.mark.parametrize("one_worker", ["processes", "dask", "ray"], indirect=True)
def test_scores_are_the_same_to_the_last_byte_wherever_the_shards_went(
    one_worker: RunnerSection, tmp_path: Path, prefect_server: str
) -> None:
    manifest = leaner(write_dataset(tmp_path, [1], per_class=2))
    words = ("run.shard_size=4", "cmv.steps=2", "cmv.objectives=[logit]")
    here = scored(manifest, tmp_path / "here" / "run", *words)
    drawn = draw(opened(manifest, here.path, *words), SEQUENTIAL)
    session = opened(manifest, tmp_path / "there" / "run", *words)
    # Workers are sent the flow, too, with all that its function sees.
    handle = Handle(session)

    made: dict[str, bytes] = {}

    @flow(task_runner=task_runner(one_worker))
    def shards() -> None:
        session = handle.session
        AsTasks().run_parts("score-shard", measure.score, session, SILENT, session.shard_sizes)
        made.update(draw(session, AsTasks()))

    with session.loader:
        prepare(session)
        with temporary_settings({PREFECT_API_URL: prefect_server}), server_for_workers():
            shards()
        assert not any(measure.score(session, shard) for shard in range(session.shards))
        measure.gather_scores(session)
    assert session.shards == 3
    assert session.run.scores.read_bytes() == here.scores.read_bytes()
    assert made == drawn


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
    assert task_runner(asked("dask:tcp://host:8786")).address == "tcp://host:8786"


def test_a_cluster_of_this_node_has_so_many_workers_of_one_thread() -> None:
    runner = task_runner(RunnerSection(kind="dask", workers=3))
    assert runner.address is None
    assert runner.cluster_kwargs["n_workers"] == 3
    assert runner.cluster_kwargs["threads_per_worker"] == 1
    assert task_runner(RunnerSection(kind="processes", workers=3))._max_workers == 3


def test_each_worker_of_this_node_is_given_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-7")
    runner = task_runner(RunnerSection(kind="dask", workers=3))
    own = [spec["options"] for spec in runner.cluster_kwargs["workers"].values()]
    assert [one["env"]["CUDA_VISIBLE_DEVICES"] for one in own] == ["3", "GPU-7", "3"]
    assert all(one["resources"] == {"GPU": 1} for one in own)
    assert task_runner(RunnerSection(kind="processes"))._max_workers == 2
    given = free_gpus(2)
    taken = []
    for _ in range(2):
        take_gpu(given)
        taken.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert taken == ["3", "GPU-7"]


def test_a_task_for_dask_asks_for_a_gpu_where_workers_have_told_of_theirs() -> None:
    def annotations(device: str, **more: Any) -> dict[str, Any]:
        with own_gpus(RunnerSection(kind="dask", **more), torch.device(device)):
            found: dict[str, Any] = get_annotations()
        return found

    there = "tcp://host:8786"
    assert annotations("cuda") == {"resources": {"GPU": 1}}
    assert annotations("cuda", address=there, gpus_per_task=0.5) == {"resources": {"GPU": 0.5}}
    assert annotations("cuda", address=there) == annotations("cpu", gpus_per_task=1) == {}


def test_ray_joins_a_cluster_where_it_is_told_to_and_only_there() -> None:
    pytest.importorskip("prefect_ray")
    import ray

    # Prefect would start a cluster of its own for the second, and join any that is there for both.
    local = task_runner(RunnerSection(kind="ray", workers=3)).init_kwargs
    assert (local["address"], local["num_cpus"]) == ("local", 3)
    with pytest.raises(ConnectionError, match="Could not find any running Ray"):
        task_runner(asked("ray:auto")).__enter__()
    assert not ray.is_initialized()
    assert task_runner(asked("ray:ray://host:10001")).address == "ray://host:10001"


def test_each_task_for_ray_asks_for_a_gpu_where_the_audit_works_on_one() -> None:
    pytest.importorskip("prefect_ray")
    from prefect_ray.context import RemoteOptionsContext

    def options(device: str, **more: Any) -> dict[str, object]:
        with own_gpus(RunnerSection(**more), torch.device(device)):
            return RemoteOptionsContext.get().current_remote_options

    assert options("cuda", kind="ray") == {"num_gpus": 1}
    assert options("cuda", kind="ray", address="auto", gpus_per_task=0.25) == {"num_gpus": 0.25}
    assert options("cpu", kind="ray") == options("cuda") == {}


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


def test_a_runner_whose_package_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Its modules, too, where another test has imported them.
    for name in {"prefect_ray", *sys.modules}:
        if name.partition(".")[0] == "prefect_ray":
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ManifestError, match=r"pip install 'saliency-audit\[ray\]'"):
        task_runner(asked("ray:auto"))


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

"""Who does the shards: this process, further processes of this node, or a cluster."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

from audit.errors import ManifestError
from audit.manifest import RunnerSection
from audit.pipeline.devices import free_gpus, shared_out, take_gpu

_MOST = 8


def task_runner(asked: RunnerSection) -> Any:
    """The Prefect task runner that a manifest asks for.

    Parameters
    ----------
    asked : RunnerSection
        ``threads``: one shard at a time in this process, since torch uses all cores, or the GPU,
        for one already. Workers of others must see the dataset, the weights and the run folder
        under the same paths.

    Raises
    ------
    ManifestError
        Its Prefect integration is not installed.
    """
    if asked.kind == "threads":
        return ThreadPoolTaskRunner(max_workers=1)
    gpus = torch.cuda.device_count()
    if asked.kind == "processes":
        count = asked.workers or gpus or 2
        taking: dict[str, Any] = (
            {"initializer": take_gpu, "initargs": (free_gpus(count),)} if gpus else {}
        )
        return ProcessPoolTaskRunner(max_workers=count, **taking)
    count = asked.workers or gpus or min(_MOST, os.cpu_count() or 1)
    try:
        return _dask(asked, count) if asked.kind == "dask" else _ray(asked, count)
    except ImportError as error:
        raise ManifestError(
            f"run.runner: {asked.kind} needs more packages ({error}). Install them: "
            f"pip install 'saliency-audit[{asked.kind}]'"
        ) from None


def _dask(asked: RunnerSection, count: int) -> Any:
    from distributed import Nanny, Scheduler
    from prefect_dask.task_runners import DaskTaskRunner

    if asked.address is not None:
        return DaskTaskRunner(address=asked.address)
    if not (gpus := shared_out(count)):
        # A thread beside another would open, and climb, with the same model.
        local = {"n_workers": count, "threads_per_worker": 1, "dashboard_address": ":0"}
        return DaskTaskRunner(cluster_kwargs=local)
    options = [
        {"nthreads": 1, "resources": {"GPU": 1}, "env": {"CUDA_VISIBLE_DEVICES": gpu}}
        for gpu in gpus
    ]
    workers = {k: {"cls": Nanny, "options": own} for k, own in enumerate(options)}
    scheduler = {"cls": Scheduler, "options": {"dashboard_address": ":0"}}
    cluster = {"workers": workers, "scheduler": scheduler}
    return DaskTaskRunner(cluster_class="distributed.SpecCluster", cluster_kwargs=cluster)


def _ray(asked: RunnerSection, count: int) -> Any:
    from prefect_ray.task_runners import RayTaskRunner

    if asked.address is None:
        return RayTaskRunner(init_kwargs={"address": "local", "num_cpus": count})
    # Prefect passes no "auto" on, and Ray alone starts a cluster, or joins any that it finds.
    auto = asked.address == "auto"
    return RayTaskRunner(init_kwargs={"address": "auto"}) if auto else RayTaskRunner(asked.address)


def own_gpus(asked: RunnerSection, device: torch.device) -> AbstractContextManager[Any]:
    """While it is entered each task asks for its GPU, if one is used: Ray hides them else."""
    share: float = 1 if asked.gpus_per_task is None else asked.gpus_per_task
    if device.type != "cuda":
        return nullcontext()
    options: AbstractContextManager[Any] = nullcontext()
    if asked.kind == "ray":
        from prefect_ray.context import remote_options

        options = remote_options(num_gpus=share)
    elif asked.kind == "dask" and (asked.address is None or asked.gpus_per_task is not None):
        from dask.base import annotate

        # Workers of a cluster that is there need not have told Dask of their GPUs.
        options = annotate(resources={"GPU": share})
    return options

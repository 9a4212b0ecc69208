"""Who does the shards: this process, further processes of this node, or a cluster."""

from __future__ import annotations

from typing import Any

import torch
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

from audit.errors import ManifestError
from audit.pipeline.devices import free_gpus, take_gpu

RUNNERS = ("threads", "processes", "dask", "ray")
_CPU_PROCESSES = 2


def task_runner(asked: str) -> Any:
    """The Prefect task runner that a word means.

    Parameters
    ----------
    asked : str
        ``threads``: one shard at a time in this process, since torch uses all cores, or the GPU,
        for one already. ``processes``: a process for each GPU of this node, or two on a CPU.
        ``dask`` and ``ray``: a cluster on this node; with an address, ``dask:tcp://host:8786`` or
        ``ray:auto``, one that is there. Its workers must see the dataset, the weights and the run
        folder under the same paths.

    Raises
    ------
    ManifestError
        Unknown, or its Prefect integration is not installed.
    """
    name, _, address = asked.partition(":")
    if name not in RUNNERS or (address and name not in ("dask", "ray")):
        raise ManifestError(
            "--runner: expected threads, processes, dask[:ADDRESS] or ray[:ADDRESS], "
            f"found {asked!r}"
        )
    if name == "threads":
        return ThreadPoolTaskRunner(max_workers=1)
    if name == "processes":
        return _processes()
    try:
        if name == "dask":
            from prefect_dask.task_runners import DaskTaskRunner

            return DaskTaskRunner(address=address or None)
        from prefect_ray.task_runners import RayTaskRunner

        return RayTaskRunner(address=address or None)
    except ImportError as error:
        raise ManifestError(
            f"--runner {name} needs more packages ({error}). Install them: "
            f"pip install 'saliency-audit[{name}]'"
        ) from None


def _processes() -> Any:
    gpus = torch.cuda.device_count()
    if not gpus:
        return ProcessPoolTaskRunner(max_workers=_CPU_PROCESSES)
    return ProcessPoolTaskRunner(max_workers=gpus, initializer=take_gpu, initargs=(free_gpus(),))

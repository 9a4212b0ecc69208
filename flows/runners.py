"""Who does the shards: this process, further processes of this node, or a cluster."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

from audit.errors import ManifestError
from audit.pipeline.devices import free_gpus, named_runner, take_gpu

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
    name, address = named_runner(asked)
    if name == "threads":
        return ThreadPoolTaskRunner(max_workers=1)
    if name == "processes":
        return _processes()
    try:
        if name == "dask":
            from prefect_dask.task_runners import DaskTaskRunner

            return DaskTaskRunner(address=address or None)
        from prefect_ray.task_runners import RayTaskRunner

        if address not in ("", "auto"):
            return RayTaskRunner(address=address)
        # Prefect passes no "auto" on, and Ray alone starts a cluster, or joins any that it finds.
        return RayTaskRunner(init_kwargs={"address": address or "local"})
    except ImportError as error:
        raise ManifestError(
            f"--runner {name} needs more packages ({error}). Install them: "
            f"pip install 'saliency-audit[{name}]'"
        ) from None


def own_gpus(runner: object, device: torch.device) -> AbstractContextManager[Any]:
    """While it is entered, each task asks Ray, which hides them else, for a GPU if one is used."""
    if device.type != "cuda" or not type(runner).__module__.startswith("prefect_ray"):
        return nullcontext()
    from prefect_ray.context import remote_options

    options: AbstractContextManager[Any] = remote_options(num_gpus=1)
    return options


def _processes() -> Any:
    gpus = torch.cuda.device_count()
    if not gpus:
        return ProcessPoolTaskRunner(max_workers=_CPU_PROCESSES)
    return ProcessPoolTaskRunner(max_workers=gpus, initializer=take_gpu, initargs=(free_gpus(),))

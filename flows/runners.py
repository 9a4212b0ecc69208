"""Who does the shards: this process, further processes of this node, or a cluster."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.queues import Queue
from typing import Any

import torch
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

from audit.errors import ManifestError

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
    if name == "dask":
        try:
            from prefect_dask.task_runners import DaskTaskRunner
        except ImportError as error:
            raise _missing(name, error) from None
        return DaskTaskRunner(address=address or None)
    try:
        from prefect_ray.task_runners import RayTaskRunner
    except ImportError as error:
        raise _missing(name, error) from None
    return RayTaskRunner(address=address or None)


def _missing(name: str, error: ImportError) -> ManifestError:
    return ManifestError(
        f"--runner {name} needs more packages ({error}). Install them: "
        f"pip install 'saliency-audit[{name}]'"
    )


def _processes() -> Any:
    gpus = torch.cuda.device_count()
    if not gpus:
        return ProcessPoolTaskRunner(max_workers=_CPU_PROCESSES)
    free: Queue[int] = multiprocessing.get_context("spawn").Queue()
    for index in range(gpus):
        free.put(index)
    return ProcessPoolTaskRunner(max_workers=gpus, initializer=_take_gpu, initargs=(free,))


def _take_gpu(free: Queue[int]) -> None:
    """Let a process see one GPU only, its own; before CUDA is woken."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = seen.split(",") if seen else [str(k) for k in range(torch.cuda.device_count())]
    os.environ["CUDA_VISIBLE_DEVICES"] = names[free.get()]

"""Who does the shards: threads of this process, or a cluster by configuration."""

from __future__ import annotations

from typing import Any

from prefect.task_runners import ThreadPoolTaskRunner

from audit.errors import ManifestError


def task_runner(name: str) -> Any:
    """The Prefect task runner that a name means.

    ``threads`` runs one shard at a time, since torch uses all cores, or the GPU, for one already.

    Raises
    ------
    ManifestError
        Unknown, or its Prefect integration is not installed.
    """
    if name == "threads":
        return ThreadPoolTaskRunner(max_workers=1)
    if name == "dask":
        try:
            from prefect_dask import DaskTaskRunner  # type: ignore[import-not-found]
        except ImportError:
            raise ManifestError("--runner dask needs the package prefect-dask") from None
        return DaskTaskRunner()
    if name == "ray":
        try:
            from prefect_ray import RayTaskRunner  # type: ignore[import-not-found]
        except ImportError:
            raise ManifestError("--runner ray needs the package prefect-ray") from None
        return RayTaskRunner()
    raise ManifestError(f"--runner: expected threads, dask or ray, found {name!r}")

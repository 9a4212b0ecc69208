"""Schedules: the only place that knows cron."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from prefect.schedules import Cron, Schedule

from audit.errors import ManifestError
from audit.manifest import load_manifest
from audit.run_folder import file_slug, write_bytes
from flows.audit_dataset import audit_dataset

ENTRYPOINT = "flows.audit_dataset.audit_dataset"


@dataclass(frozen=True)
class Order:
    """What a deployment runs, and when.

    Parameters
    ----------
    manifest : str
        Path of the manifest.
    cron : str or None
        Five fields, such as ``0 2 * * 1``; None: only when somebody asks.
    timezone : str
        A name of the IANA database, in which `cron` is meant.
    device, overrides, limit, gate
        As for :func:`flows.audit_dataset.audit_dataset`.
    runs : str or None
        The folder below which each run gets one of its own; None: ``runs`` beside the manifest, so
        that it does not hang on where a worker was started.
    """

    manifest: str
    cron: str | None = None
    timezone: str = "UTC"
    device: str = "auto"
    overrides: tuple[str, ...] = ()
    limit: int | None = None
    gate: str | None = None
    runs: str | None = None

    def parameters(self) -> dict[str, object]:
        """The parameters of each run, with paths that hold everywhere on this machine."""
        manifest = Path(self.manifest).resolve()
        found: dict[str, object] = {
            "manifest": str(manifest),
            "device": self.device,
            "overrides": list(self.overrides),
            "runs": str(Path(self.runs).resolve() if self.runs else manifest.parent / "runs"),
        }
        more = {"limit": self.limit, "gate": self.gate}
        return found | {key: value for key, value in more.items() if value is not None}


def serve_audit(order: Order) -> None:
    """Serve a manifest as a deployment until the process is stopped; one run at a time.

    Raises
    ------
    ManifestError
        The manifest, the cron line or the time zone cannot be.
    """
    name = _checked(order)
    audit_dataset.serve(
        name=file_slug(name),
        schedule=_schedule(order),
        parameters=order.parameters(),
        description=f"Saliency audit of {name}",
        limit=1,
        global_limit=1,
    )


def deployment_file(order: Order, pool: str) -> bytes:
    """What a ``prefect.yaml`` says that ``prefect deploy`` takes as it is, for a process pool.

    Parameters
    ----------
    order : Order
        What runs, and when.
    pool : str
        The work pool.

    Raises
    ------
    ManifestError
        As for :func:`serve_audit`.
    """
    name = _checked(order)
    deployment: dict[str, object] = {
        "name": file_slug(name),
        "description": f"Saliency audit of {name}",
        "entrypoint": ENTRYPOINT,
        "parameters": order.parameters(),
        "work_pool": {"name": pool},
        "concurrency_limit": 1,
    }
    if order.cron:
        deployment["schedules"] = [{"cron": order.cron, "timezone": order.timezone}]
    folder = str(Path(order.manifest).resolve().parent)
    content = {
        "name": file_slug(name),
        "pull": [{"prefect.deployments.steps.set_working_directory": {"directory": folder}}],
        "deployments": [deployment],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode()


def write_deployment(order: Order, pool: str, path: Path) -> None:
    """Write a ``prefect.yaml``; one that is there is somebody's, and stays.

    Raises
    ------
    ManifestError
        As for :func:`serve_audit`; or the file exists.
    """
    if path.exists():
        raise ManifestError(f"{path}: exists already. Name another file with --file.")
    write_bytes(path, deployment_file(order, pool))


def _checked(order: Order) -> str:
    """The audit's name, once all of an order can be."""
    overrides = (*order.overrides, *((f"gate={order.gate}",) if order.gate else ()))
    declared = load_manifest(order.manifest, overrides)
    _schedule(order)
    return declared.name


def _schedule(order: Order) -> Schedule | None:
    if order.cron is None:
        return None
    if len(order.cron.split()) != 5:
        raise ManifestError(
            f"--cron: expected five fields such as '0 2 * * 1', found {order.cron!r}"
        )
    try:
        ZoneInfo(order.timezone)
        return Cron(order.cron, timezone=order.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ManifestError(
            f"--cron, --timezone: {order.cron!r} in {order.timezone!r} is no schedule ({error})"
        ) from error

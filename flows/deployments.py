"""What Prefect is told of an audit that shall run again and again."""

from __future__ import annotations

from pathlib import Path

from prefect.schedules import Cron, Schedule
from prefect.types.entrypoint import EntrypointType

from audit.errors import ManifestError
from audit.pipeline.orders import Order
from audit.run_folder import file_slug
from audit.writing import write_bytes
from flows.audit_dataset import audit_dataset

ENTRYPOINT = "flows.audit_dataset.audit_dataset"


def serve_audit(order: Order) -> None:
    """Serve a manifest as a deployment until the process is stopped; one run at a time.

    Raises
    ------
    ManifestError
        The manifest, the cron line or the time zone cannot be.
    """
    name, schedule = _checked(order)
    audit_dataset.serve(
        name=file_slug(name),
        schedule=schedule,
        parameters=order.parameters(),
        description=f"Saliency audit of {name}",
        limit=1,
        global_limit=1,
        # Loaded by its path, a file is no module, and Prefect can't resolve its annotations.
        entrypoint_type=EntrypointType.MODULE_PATH,
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
    name, _ = _checked(order)
    return order.deployment(name, pool, ENTRYPOINT)


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


def _checked(order: Order) -> tuple[str, Schedule | None]:
    """The audit's name and its schedule, once all of an order can be."""
    name = order.checked()
    try:
        return name, Cron(order.cron, timezone=order.timezone) if order.cron else None
    except ValueError as error:
        raise order.no_schedule(error) from error

"""``saliency-audit serve`` and ``deploy``: on a schedule, by Prefect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from flows.cli.terminal import Device, ManifestPath, Overrides, err, shown

_Cron = Annotated[str | None, typer.Option(help='When, e.g. "0 2 * * 1".')]
_Zone = Annotated[str, typer.Option(help="In which --cron is meant, e.g. Europe/Berlin.")]
_Limit = Annotated[int | None, typer.Option(min=1, help="Audit only so many images.")]
_Gate = Annotated[str | None, typer.Option(help="never, suspect, new or worsened.")]
_Runner = Annotated[
    str | None,
    typer.Option(help="threads, processes, dask[:ADDRESS] or ray[:ADDRESS]; else run.runner."),
]
_Runs = Annotated[
    str | None,
    typer.Option(
        "--out", help="Below it each run gets a folder; default: runs beside the manifest."
    ),
]


def serve(
    manifest: ManifestPath,
    cron: _Cron = None,
    timezone: _Zone = "UTC",
    out: _Runs = None,
    limit: _Limit = None,
    device: Device = "auto",
    overrides: Overrides = None,
    gate: _Gate = None,
    runner: _Runner = None,
) -> None:
    """Audit on a schedule, and whenever somebody asks Prefect for a run, until stopped."""
    from audit.pipeline.orders import Order
    from flows.deployments import serve_audit

    laid_over = _laid_over(overrides, runner)
    order = Order(manifest, cron, timezone, device, laid_over, limit, gate, out)
    when = f"at {cron!r} ({timezone})" if cron else "on demand"
    err.print(f"Serving {escape(manifest)} {escape(when)}; stop with Ctrl-C.")
    serve_audit(order)


def deploy(
    manifest: ManifestPath,
    cron: _Cron = None,
    timezone: _Zone = "UTC",
    out: _Runs = None,
    limit: _Limit = None,
    device: Device = "auto",
    overrides: Overrides = None,
    gate: _Gate = None,
    runner: _Runner = None,
    pool: Annotated[str, typer.Option(help="Name of a work pool of type process.")] = "audits",
    file: Annotated[str, typer.Option(help="Where it is written.")] = "prefect.yaml",
) -> None:
    """Write a prefect.yaml that `prefect deploy` takes as it is."""
    from audit.pipeline.orders import Order
    from flows.deployments import write_deployment

    laid_over = _laid_over(overrides, runner)
    order = Order(manifest, cron, timezone, device, laid_over, limit, gate, out)
    write_deployment(order, pool, Path(file))
    err.print(
        f"Wrote {escape(shown(Path(file).resolve()))}. Register it and start a worker with:\n"
        f"  prefect work-pool create {escape(pool)} --type process\n"
        f"  prefect deploy --all --prefect-file {escape(file)}\n"
        f"  prefect worker start --pool {escape(pool)}"
    )


def _laid_over(overrides: list[str] | None, runner: str | None) -> tuple[str, ...]:
    return (*(overrides or ()), *((f"run.runner={runner}",) if runner else ()))

"""``saliency-audit serve``: on a schedule, by Prefect."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from flows.cli.terminal import Device, ManifestPath, Overrides, err


def serve(
    manifest: ManifestPath,
    cron: Annotated[str, typer.Option(help='When, e.g. "0 2 * * 1".')],
    device: Device = "auto",
    overrides: Overrides = None,
) -> None:
    """Audit on a schedule, by Prefect, until stopped."""
    from flows.deployments import serve_audit

    err.print(f"Serving {escape(manifest)} at {escape(repr(cron))}; stop with Ctrl-C.")
    serve_audit(manifest, cron, device, overrides or [])

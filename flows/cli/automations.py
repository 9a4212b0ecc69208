"""``saliency-audit automations``: who is told, and what is run again, by Prefect."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from flows.cli.terminal import ManifestPath, err


def automations(
    manifest: ManifestPath,
    notify: Annotated[
        list[str] | None,
        typer.Option(
            help="A block on the Prefect server: sendgrid-email/NAME, slack-webhook/NAME, "
            "webhook/NAME ..."
        ),
    ] = None,
    run_again: Annotated[
        bool, typer.Option(help="Run again what crashed, or was silent for ten minutes.")
    ] = True,
) -> None:
    """Register automations with Prefect for an audit that is served or deployed."""
    from audit.pipeline.orders import AlarmOrder
    from flows.automations import register

    for name in register(AlarmOrder(manifest, notify or (), run_again)):
        err.print(f"Registered: {escape(name)}")

"""``saliency-audit check``: everything that can be wrong, found before the work begins."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from flows.cli.terminal import (
    AcceptAccuracy,
    AsJson,
    Device,
    ManifestPath,
    Overrides,
    err,
    print_json,
)

if TYPE_CHECKING:
    from audit.pipeline.check import CheckResult


def check(
    manifest: ManifestPath,
    device: Device = "auto",
    overrides: Overrides = None,
    as_json: AsJson = False,
    accept_accuracy: AcceptAccuracy = False,
) -> None:
    """Find everything that can be wrong before the work begins."""
    from audit.pipeline.check import check as check_manifest

    with err.status("checking manifest, dataset, foregrounds and model"):
        found = check_manifest(
            manifest, device=device, overrides=overrides or (), accept_accuracy=accept_accuracy
        )
    _print(found)
    if as_json:
        print_json(dataclasses.asdict(found))


def _print(found: CheckResult) -> None:
    table = Table(title=escape(found.name), title_justify="left")
    table.add_column("class")
    table.add_column("images", justify="right")
    for name, count in list(found.classes.items())[:40]:
        table.add_row(escape(name), str(count))
    err.print(table)
    err.print(
        f"{found.images} images, {len(found.classes)} classes, {found.outputs} outputs; "
        f"foregrounds: {escape(found.foreground)}; maps: {escape(found.saliency_method)}; "
        f"model: {escape(found.model)} on {found.device}; "
        f"right on {found.accuracy_tried:.0%} of those tried"
    )
    err.print(
        f"About {found.expected_seconds / 60:.1f} minutes for scores and swaps, and "
        f"{found.donor_bank_bytes / 2**20:.0f} MiB of disk for donors."
    )
    for warning in found.warnings:
        err.print(f"[yellow]note:[/yellow] {escape(warning)}")
    err.print("[green]The manifest can be audited.[/green]")

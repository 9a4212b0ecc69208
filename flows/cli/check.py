"""``saliency-audit check``: everything that can be wrong, found before the work begins."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from audit.pipeline.progress import duration
from audit.secrets import guarded
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

ROWS = 40
"""Classes that are shown; ``--json`` has all."""


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
    err.print(_table(found))
    err.print(
        f"{found.images} images, {len(found.classes)} classes, {found.outputs} outputs; "
        f"foregrounds: {escape(found.foreground)}; maps: {escape(found.saliency_method)}; "
        f"model: {escape(found.model)} on {found.device}"
    )
    err.print(
        f"Tried: {found.tried} images, {found.unreadable_tried} unreadable, "
        f"{found.accuracy_tried:.0%} answered rightly, {found.swapped_tried} met other backgrounds"
    )
    if found.hashed:
        err.print(
            f"Read for their hashes: {found.hashed} files in {duration(found.hashing_seconds)}; "
            "a run finds them in the cache"
        )
    err.print(_costs(found))
    for warning in found.warnings:
        err.print(f"[yellow]note:[/yellow] {escape(guarded(warning))}")
    if found.disk_free_bytes < found.disk_bytes:
        err.print("[yellow]note:[/yellow] this disk has too little room: choose another --out")
    if found.limits:
        err.print("[yellow]The manifest can be audited, but:[/yellow]")
        for limit in found.limits:
            err.print(f"  {escape(guarded(limit))}")
    else:
        err.print("[green]The manifest can be audited.[/green]")


def _table(found: CheckResult) -> Table:
    table = Table(title=escape(guarded(found.name)), title_justify="left")
    table.add_column("class")
    for heading in ("images", "outlines", "object", "tried", "unreadable", "right"):
        table.add_column(heading, justify="right")
    for one in found.per_class[:ROWS]:
        table.add_row(
            escape(guarded(one.label_name)[:60]),
            str(one.images),
            "" if one.outlined is None else f"{one.outlined / max(1, one.images):.0%}",
            "" if one.area is None else f"{one.area:.0%}",
            str(one.tried),
            str(one.unreadable or ""),
            f"{one.right} of {one.tried - one.unreadable}" if one.tried else "",
        )
    if len(found.per_class) > ROWS:
        table.add_row(f"... and {len(found.per_class) - ROWS} more")
    return table


def _costs(found: CheckResult) -> str:
    steps = sorted(found.expected_steps.items(), key=lambda step: -step[1])
    longest = ", ".join(f"{name} {duration(spent)}" for name, spent in steps[:4] if spent >= 1)
    gpu = found.device_memory_bytes
    return (
        f"A run takes about {duration(found.expected_seconds)}"
        + (f" ({longest})" if longest else "")
        + f", {found.memory_bytes / 2**30:.1f} GiB of memory"
        + (f", {gpu / 2**30:.1f} GiB or more of the GPU" if gpu else "")
        + f" and {found.disk_bytes / 2**20:,.0f} MiB of disk, "
        f"{found.donor_bank_bytes / 2**20:,.0f} of them while it lasts"
    )

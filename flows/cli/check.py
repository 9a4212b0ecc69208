"""``saliency-audit check``: everything that can be wrong, found before the work begins."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from audit.pipeline.progress import duration
from audit.report.formatting import share
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


def _print(checked: CheckResult) -> None:
    err.print(_table(checked))
    err.print(
        f"{checked.images} images, {len(checked.classes)} classes, {checked.outputs} outputs; "
        f"foregrounds: {escape(checked.foreground)}; maps: {escape(checked.saliency_method)}; "
        f"model: {escape(checked.model)} on {checked.device}"
    )
    err.print(
        f"Tried: {checked.tried} images, {checked.unreadable_tried} unreadable, "
        f"{share(checked.accuracy_tried)} answered rightly, {checked.swapped_tried} met other "
        "backgrounds"
    )
    if checked.hashed:
        err.print(
            f"Read for their hashes: {checked.hashed} files in {duration(checked.hashing_seconds)}"
            "; a run finds them in the cache"
        )
    err.print(_costs(checked))
    for warning in checked.warnings:
        err.print(f"[yellow]note:[/yellow] {escape(guarded(warning))}")
    if checked.disk_free_bytes < checked.disk_bytes:
        err.print("[yellow]note:[/yellow] this disk has too little room: choose another --out")
    if checked.limits:
        err.print("[yellow]The manifest can be audited, but:[/yellow]")
        for limit in checked.limits:
            err.print(f"  {escape(guarded(limit))}")
    else:
        err.print("[green]The manifest can be audited.[/green]")


def _table(checked: CheckResult) -> Table:
    table = Table(title=escape(guarded(checked.name)), title_justify="left")
    table.add_column("class")
    for heading in ("images", "outlines", "object", "tried", "unreadable", "right"):
        table.add_column(heading, justify="right")
    for one in checked.per_class[:ROWS]:
        table.add_row(
            escape(guarded(one.label_name)[:60]),
            str(one.images),
            "" if one.outlined is None else share(one.outlined / max(1, one.images)),
            "" if one.area is None else share(one.area),
            str(one.tried),
            str(one.unreadable or ""),
            f"{one.right} of {one.tried - one.unreadable}" if one.tried else "",
        )
    if len(checked.per_class) > ROWS:
        table.add_row(f"... and {len(checked.per_class) - ROWS} more")
    return table


def _costs(checked: CheckResult) -> str:
    steps = sorted(checked.expected_steps.items(), key=lambda step: -step[1])
    longest = ", ".join(f"{name} {duration(spent)}" for name, spent in steps[:4] if spent >= 1)
    gpu = checked.device_memory_bytes
    return (
        f"A run takes about {duration(checked.expected_seconds)}"
        + (f" ({longest})" if longest else "")
        + f", {checked.memory_bytes / 2**30:.1f} GiB of memory"
        + (f", {gpu / 2**30:.1f} GiB or more of the GPU" if gpu else "")
        + f" and {checked.disk_bytes / 2**20:,.0f} MiB of disk, "
        f"{checked.donor_bank_bytes / 2**20:,.0f} of them while it lasts"
    )

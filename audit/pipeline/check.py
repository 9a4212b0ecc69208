"""Everything that can be wrong, found before the work begins."""

from __future__ import annotations

import time
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit.measuring.rows import maps_of
from audit.pipeline.cmv_material import check_second
from audit.pipeline.methods import described
from audit.pipeline.session import AuditRequest, Session, open_session, try_one_batch
from audit.report.style import check_style

_LOW_ACCURACY = 0.3


def check_manifest(
    manifest: str, overrides: tuple[str, ...], device: str, console: Console
) -> dict[str, Any]:
    """Check a manifest and all behind it, one batch end to end; prints and returns what it found.

    Raises
    ------
    InputError
        Something is wrong; the message says what.
    """
    with console.status("checking manifest, dataset, foregrounds and model"):
        session = open_session(AuditRequest(manifest, "", overrides, None, device))
        check_style(session.manifest)
        check_second(session)
        tried = try_one_batch(session)
        seconds = _time_one_image(session, tried["batch"])
    found = _describe(session, tried, seconds)
    _print(found, session, console)
    return found


def _time_one_image(session: Session, batch: Any) -> float:
    """Seconds an image: saliency measured, swaps counted as forward passes of a third of it."""
    few = batch.part(0, min(8, len(batch)))
    plan, began = session.measurement(), time.monotonic()
    maps_of(session.engine, few, plan)
    if session.model.device.type == "cuda":
        torch.cuda.synchronize()
    saliency = (time.monotonic() - began) / len(few)
    forwards = 1 + (2 * plan.donors + 2 if session.has_foregrounds else 0)
    return saliency * (1 + forwards / 3)


def _describe(session: Session, tried: dict[str, Any], seconds: float) -> dict[str, Any]:
    table = session.table
    per_class = table["label_name"].value_counts().to_dict()
    minimum = session.manifest.verdict.minimum_images
    side = session.model.geometry.size
    bank = session.manifest.interventions.bank
    stored = sum(min(bank, count) for count in per_class.values()) * 3 * side * side
    warnings = [
        f"{name}: {count} of the {minimum} images that a verdict needs"
        for name, count in sorted(per_class.items())
        if count < minimum
    ]
    if session.saliency.reason is not None:
        warnings.append(f"saliency.method: {described(session.saliency)}")
    if not session.has_foregrounds:
        warnings.append("no foregrounds: no background can be exchanged and nothing called clear")
    elif tried["with_foreground"] < tried["images"]:
        missing = tried["images"] - tried["with_foreground"]
        warnings.append(f"{missing} of {tried['images']} images tried have no foreground")
    if tried["unreadable"]:
        warnings.append(f"{tried['unreadable']} of the images tried cannot be read")
    if tried["accuracy"] < _LOW_ACCURACY:
        warnings.append(
            f"the model is right on {tried['accuracy']:.0%} of {tried['images']} images only: "
            "are model.classes and model.input those it was trained with?"
        )
    return {
        "name": session.manifest.name,
        "images": len(table),
        "skipped": len(session.skipped),
        "classes": {str(name): int(count) for name, count in per_class.items()},
        "outputs": len(session.class_names),
        "foreground": session.source,
        "model": session.model.name,
        "device": str(session.model.device),
        "saliency_method": session.saliency.name,
        "accuracy_tried": tried["accuracy"],
        "expected_seconds": round(seconds * len(table), 1),
        "donor_bank_bytes": stored if session.has_foregrounds else 0,
        "warnings": warnings,
    }


def _print(found: dict[str, Any], session: Session, console: Console) -> None:
    table = Table(title=escape(found["name"]), title_justify="left")
    table.add_column("class")
    table.add_column("images", justify="right")
    for name, count in list(found["classes"].items())[:40]:
        table.add_row(escape(name), str(count))
    console.print(table)
    console.print(
        f"{found['images']} images, {len(found['classes'])} classes, {found['outputs']} outputs; "
        f"foregrounds: {escape(found['foreground'])}; model: {escape(found['model'])} on "
        f"{found['device']}; right on {found['accuracy_tried']:.0%} of those tried"
    )
    console.print(
        f"About {found['expected_seconds'] / 60:.1f} minutes for scores and swaps, and "
        f"{found['donor_bank_bytes'] / 2**20:.0f} MiB of disk for donors."
    )
    for warning in found["warnings"]:
        console.print(f"[yellow]note:[/yellow] {escape(warning)}")
    console.print("[green]The manifest can be audited.[/green]")

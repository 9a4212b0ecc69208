"""Schedules: the only place that knows cron."""

from __future__ import annotations

from pathlib import Path

from audit.errors import ManifestError
from audit.manifest import load_manifest
from audit.run_folder import file_slug
from flows.audit_dataset import audit_dataset


def serve_audit(manifest: str, cron: str, device: str, overrides: list[str]) -> None:
    """Serve a manifest as a scheduled deployment until the process is stopped.

    Raises
    ------
    ManifestError
        The manifest, or the cron line, cannot be.
    """
    declared = load_manifest(manifest, overrides)
    if len(cron.split()) != 5:
        raise ManifestError(f"--cron: expected five fields such as '0 2 * * 1', found {cron!r}")
    audit_dataset.serve(
        name=file_slug(declared.name),
        cron=cron,
        parameters={
            "manifest": str(Path(manifest).resolve()),
            "device": device,
            "overrides": overrides,
        },
        description=f"Saliency audit of {declared.name}",
    )

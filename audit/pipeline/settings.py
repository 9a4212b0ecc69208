"""What a verdict or a page depends on beside the scores: all else that a manifest declares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from audit.errors import ManifestError
from audit.manifest import Manifest, fingerprint
from audit.models.hashes import file_sha256

_HOW_ALONE = {"runner", "batch_size", "shard_size", "workers"}
"""Of the section ``run``: how the work is done, with the same results."""


def settings_key(manifest: Manifest) -> str:
    """Fingerprint of a manifest's settings and of the files that they name for report and CMVs.

    The gate is not among them: it judges findings, and makes no others.
    """
    settings = manifest.model_dump(
        mode="json", exclude={"gate": True, "gate_after": True, "run": _HOW_ALONE}
    )
    files = [[path.name, file_sha256(path)] for path in _files(manifest)]
    return fingerprint(settings, files)


def _files(manifest: Manifest) -> Iterator[Path]:
    report, transfer = manifest.report, manifest.cmv.transfer
    named = [(report.logo, "report.logo"), (report.templates, "report.templates")]
    if transfer is not None:
        named += [(str(transfer.options.get("weights") or "") or None, "cmv.transfer.weights")]
    for value, key in named:
        if value is None:
            continue
        try:
            path = manifest.path(value, key)
        except ManifestError:
            # Such as weights that a library knows by name.
            continue
        yield from sorted(p for p in (path.rglob("*") if path.is_dir() else [path]) if p.is_file())

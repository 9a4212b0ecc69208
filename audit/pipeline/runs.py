"""Where runs lie: one folder an audit below ``runs/``, or wherever ``--out`` says."""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from audit.manifest import load_manifest
from audit.pipeline.session import AuditRequest, open_session
from audit.run_folder import file_slug

RUNS = Path("runs")


def run_folder_for(request: AuditRequest, out: str | None, *, resume: bool) -> AuditRequest:
    """The request with its run folder.

    Without `out` that is a new folder below ``runs/<name of the audit>/``; or, to resume, the
    newest one there of the same fingerprint that did not finish.
    """
    if out is not None:
        return dataclasses.replace(request, out=str(Path(out).resolve()))
    home = RUNS.resolve() / file_slug(load_manifest(request.manifest, request.overrides).name)
    if resume and home.is_dir():
        key = open_session(request).key
        for folder in sorted(home.iterdir(), reverse=True):
            if not folder.is_symlink() and _unfinished(folder, key):
                return dataclasses.replace(request, out=str(folder))
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder, tries = home / stamp, 1
    while folder.exists():
        tries += 1
        folder = home / f"{stamp}-{tries}"
    return dataclasses.replace(request, out=str(folder))


def _unfinished(folder: Path, key: str) -> bool:
    try:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return run.get("fingerprint") == key and run.get("status") in ("running", "failed")


def point_latest(folder: Path) -> None:
    """Let ``latest`` beside a run below ``runs/`` point to it."""
    if RUNS.resolve() not in folder.parents:
        return
    link, temporary = folder.parent / "latest", folder.parent / f".latest-{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(folder.name)
    temporary.replace(link)

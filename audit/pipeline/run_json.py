"""``run.json`` as a run goes on: written by the process that drives the run, and by no worker."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from audit.run_folder import RunFolder


def now() -> str:
    """Tell the time in UTC, as run.json writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def timed(run: RunFolder, step: str) -> Iterator[None]:
    """Add the seconds of a step to ``run.json``, also where it fails."""
    began = time.monotonic()
    try:
        yield
    finally:
        timings = run.read_run().get("timings", {})
        timings[step] = round(timings.get(step, 0.0) + time.monotonic() - began, 3)
        run.update_run(timings=timings)


def mark_failed(run: RunFolder) -> None:
    """Say that the run ended early, where there is a ``run.json`` to say it in."""
    if run.run_json.exists():
        run.update_run(status="failed", finished=now())


def finish(run: RunFolder, summary: Mapping[str, Any]) -> None:
    """Close the run: it is complete, or finished but incomplete."""
    shutil.rmtree(run.donors, ignore_errors=True)
    run.update_run(
        status="complete" if summary["complete"] else "incomplete",
        finished=now(),
        summary=dict(summary),
    )

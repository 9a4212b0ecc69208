"""``run.json`` as a run goes on: written by the process that drives the run, and by no worker."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from audit.errors import RunFolderError
from audit.findings import RunFacts, RunStatus, Summary, read_facts, write_facts
from audit.run_folder import RunFolder


def now() -> str:
    """Tell the time in UTC, as run.json writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def update_facts(run: RunFolder, **changes: object) -> RunFacts:
    """Lay changes over ``run.json`` and write it."""
    facts = RunFacts.model_validate(dict(read_facts(run.run_json)) | changes)
    write_facts(run.run_json, facts)
    return facts


@contextmanager
def timed(run: RunFolder, step: str) -> Iterator[None]:
    """Add the seconds of a step to ``run.json``, also where it fails."""
    began = time.monotonic()
    try:
        yield
    except BaseException:
        # What went wrong is the error, and not that this cannot be written either.
        with suppress(OSError, RunFolderError):
            _add_seconds(run, step, began)
        raise
    else:
        _add_seconds(run, step, began)


def _add_seconds(run: RunFolder, step: str, began: float) -> None:
    timings = read_facts(run.run_json).timings
    spent = round((timings.get(step) or 0.0) + time.monotonic() - began, 3)
    update_facts(run, timings=timings | {step: spent})


def mark_failed(run: RunFolder) -> None:
    """Say that the run ended early, where there is a ``run.json``, and room, to say it in."""
    with suppress(OSError, RunFolderError):
        if run.run_json.exists():
            update_facts(run, status=RunStatus.FAILED, finished=now())


def finish(run: RunFolder, summary: Summary) -> None:
    """Close the run: it is complete, or finished but incomplete."""
    shutil.rmtree(run.donors, ignore_errors=True)
    update_facts(
        run,
        status=RunStatus.COMPLETE if summary.complete else RunStatus.INCOMPLETE,
        finished=now(),
        summary=summary,
    )

"""``run.log``: what a run said while it went on, in its folder and bounded."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler

from audit.run_folder import RunFolder
from audit.secrets import guarded

MAX_BYTES = 1_000_000
"""Of the file; what is older moves into one file beside it, and then away."""

STEPS = logging.getLogger("audit.progress")
"""Where each run lies and how far it is; for the run's own file, and nobody else's log."""
STEPS.propagate = False
STEPS.setLevel(logging.INFO)
_PACKAGE = logging.getLogger("audit")


class _Guarded(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Tell the time in UTC, as run.json does."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))

    def format(self, record: logging.LogRecord) -> str:
        return guarded(super().format(record))


class _Quiet(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Do nothing: a full disk ends the run where results are written, not here."""


@contextmanager
def logged(run: RunFolder) -> Iterator[None]:
    """Write the steps of a run, and what this package warns of, into the run's folder."""
    handler = _Quiet(run.log, maxBytes=MAX_BYTES, backupCount=1, encoding="utf-8", delay=True)
    handler.setFormatter(_Guarded("%(asctime)s %(levelname)s %(message)s"))
    for logger in (STEPS, _PACKAGE):
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in (STEPS, _PACKAGE):
            logger.removeHandler(handler)
        handler.close()

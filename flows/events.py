"""Tells Prefect's event stream what a run found, so that automations can answer to it."""

from __future__ import annotations

import logging

from prefect.events import emit_event

from audit.exports.events import events_of
from audit.findings import Findings

_log = logging.getLogger(__name__)


def tell_events(findings: Findings, report_url: str = "") -> None:
    """Emit the events of a finished run; a server that is away costs the events and no work.

    Parameters
    ----------
    findings : Findings
        Of the run, with its comparison.
    report_url : str
        Where the report can be opened; "" where nobody but the worker can.
    """
    try:
        for event in events_of(findings, report_url):
            emit_event(**event)
    except Exception:
        _log.warning("Prefect took no events of this run; the run folder has all of it")

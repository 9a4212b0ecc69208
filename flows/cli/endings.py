"""What an error of a flow says of how the run ended."""

from __future__ import annotations

import httpx
from prefect.exceptions import PrefectException, TerminationSignal

from audit.cancellation import Stopped
from audit.errors import AuditError


def lost_server(error: BaseException) -> str:
    """Say that Prefect went away, where that is what an error comes from; "" where it is not."""
    met = _chain(error)
    if any(isinstance(one, AuditError) for one in met):
        return ""
    if any(isinstance(one, (httpx.HTTPError, PrefectException)) for one in met):
        return f"Prefect's server went away ({type(error).__name__})"
    return ""


def was_stopped(error: BaseException) -> bool:
    """Whether somebody ended the work, and telling the server so failed.

    Ctrl-C and whoever ends a group of processes end the embedded server, too.
    """
    return any(isinstance(one, (TerminationSignal, Stopped)) for one in _chain(error))


def _chain(error: BaseException) -> list[BaseException]:
    met = [error]
    while (before := met[-1].__cause__ or met[-1].__context__) is not None:
        met.append(before)
    return met

"""Whether there is a Prefect to work with: asked before a run, and believed when it goes away."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import Any

import httpx
from prefect.exceptions import PrefectException
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_EPHEMERAL_ENABLED,
    temporary_settings,
)

from audit.errors import AuditError
from audit.secrets import guarded

ATTEMPTS = 3
_PATIENCE = 5.0
_STARTUP_SECONDS = 90
"""The embedded server makes its database on the first start; Prefect's own 20 s are too few."""


def missing_server() -> str:
    """Say why no Prefect server can be reached, after some attempts; "" where one answers."""
    url = str(PREFECT_API_URL.value() or "")
    if not url and not PREFECT_SERVER_EPHEMERAL_ENABLED.value():
        return "No Prefect server is named, and none may be started here"
    for attempt in range(ATTEMPTS if url else ATTEMPTS - 1):
        time.sleep(attempt)
        if _answers(url) if url else _starts():
            return ""
    if url:
        return f"The Prefect server at {guarded(url)} does not answer ({ATTEMPTS} attempts)"
    return "Prefect's embedded server does not start"


def _answers(url: str) -> bool:
    try:
        found = httpx.get(f"{url.rstrip('/')}/health", timeout=_PATIENCE)
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    # Who asks for a key, or knows no such page, is there.
    return found.status_code < httpx.codes.INTERNAL_SERVER_ERROR


def _starts() -> bool:
    # The one that every client of this process uses.
    server = SubprocessASGIServer()
    try:
        server.start(timeout=_STARTUP_SECONDS)
    except (RuntimeError, OSError, httpx.HTTPError):
        server.stop()
        return False
    return True


def server_for_workers() -> AbstractContextManager[Any]:
    """While it is entered, tasks take the address of this process's server with them.

    The embedded server has none that another process would know: each would start its own, and
    record there what nobody looks at.
    """
    url = PREFECT_API_URL.value() or SubprocessASGIServer().api_url
    return temporary_settings({PREFECT_API_URL: str(url)})


def lost_server(error: BaseException) -> str:
    """Say that Prefect went away, where that is what an error comes from; "" where it is not."""
    errors = [error]
    while (before := errors[-1].__cause__ or errors[-1].__context__) is not None:
        errors.append(before)
    if any(isinstance(one, AuditError) for one in errors):
        return ""
    if any(isinstance(one, (httpx.HTTPError, PrefectException)) for one in errors):
        return f"Prefect's server went away ({type(error).__name__})"
    return ""

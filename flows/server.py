"""Whether there is a Prefect to work with: asked before a run, and believed when it goes away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx
from prefect.exceptions import TerminationSignal
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_EPHEMERAL_ENABLED,
    get_current_settings,
    temporary_settings,
)

from audit.cancellation import Stopped, ask_to_stop
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


@contextmanager
def quick_to_end() -> Iterator[None]:
    """Where somebody ends the work in here, nothing goes on, and no dead server is waited for.

    Prefect raises in the main thread alone, and waits for its other threads before anybody else
    hears of it. Who ends a group of processes ends the embedded server, too, and Prefect would try
    five times, for a minute, to tell it of the end. That is so for the settings in force: enter
    :func:`server_for_workers`, whose own are left with it.
    """
    try:
        yield
    except (Stopped, TerminationSignal, KeyboardInterrupt):
        ask_to_stop()
        get_current_settings().client.max_retries = 0
        raise

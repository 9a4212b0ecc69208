"""What is handed to a worker: names and paths; in threads, an open session."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import os
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from threading import Lock
from typing import Any, Final, Protocol

from audit.pipeline.opening_again import open_again
from audit.pipeline.progress import SILENT, Progress
from audit.pipeline.session import AuditRequest, Session
from audit.remote.addresses import folder_of_mirrors

IN_FLIGHT: Final = 512
"""Tasks that are handed over and not done: a cluster is not given a million to remember."""


class Handle:
    """A session and whoever follows its progress; pickled, it is the request alone.

    Threads of this process share what is open. On the other side of a pickle - a process, a Dask
    or Ray worker - the session is opened again from its run folder, and nobody is told of progress.
    """

    __slots__ = ("_session", "key", "mirrors", "progress", "request")

    def __init__(self, session: Session, progress: Progress = SILENT) -> None:
        self._session: Session | None = session
        self.request, self.key, self.progress = _anywhere(session.request), session.key, progress
        self.mirrors = str(folder_of_mirrors())

    def __getstate__(self) -> tuple[AuditRequest, str, str]:
        return self.request, self.key, self.mirrors

    def __setstate__(self, state: tuple[AuditRequest, str, str]) -> None:
        self.request, self.key, self.mirrors = state
        self._session, self.progress = None, SILENT

    def __reduce__(self) -> tuple[Any, ...]:
        return object.__new__, (Handle,), self.__getstate__()

    @property
    def session(self) -> Session:
        """The session, opened again where that is needed.

        Raises
        ------
        AuditError
            The worker sees another audit, or has other weights or software, or no such device.
        """
        if self._session is None:
            # Threads of a Dask worker ask at once, and one of them opens.
            with _opening:
                self._session = _open_on_worker(self.request, self.key, self.mirrors)
        return self._session


def _anywhere(request: AuditRequest) -> AuditRequest:
    """The same request for processes that work in another folder."""
    manifest, out = (os.path.abspath(p) if p else "" for p in (request.manifest, request.out))
    return dataclasses.replace(request, manifest=manifest, out=out)


_opening = Lock()
_children = ExitStack()
atexit.register(_children.close)


@functools.lru_cache(maxsize=1)
def _open_on_worker(request: AuditRequest, key: str, mirrors: str) -> Session:
    """The session that a worker opened last: it gets many shards of one audit."""
    session = open_again(request, key, mirrors)
    # Those who decode stay for all shards; they would start anew with each.
    _children.close()
    _children.enter_context(session.loader)
    return session


class Awaited(Protocol):
    """Work that somebody else does."""

    def result(self) -> Any:
        """Wait for it; raises what ended it."""


def few_at_a_time(
    start: Callable[[int], Awaited], items: Iterable[int], most: int = IN_FLIGHT
) -> None:
    """Let others do the work of all items, of which few wait with them at a time; wait for it.

    Parameters
    ----------
    start : callable
        Hands one item over.
    items : iterable of int
        All of them.
    most : int
        Items that are handed over and not done.
    """
    waiting = deque[Awaited]()
    for item in items:
        if len(waiting) >= most:
            waiting.popleft().result()
        waiting.append(start(item))
    for one in waiting:
        one.result()

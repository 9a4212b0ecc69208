"""What is handed to a worker: names and paths; in threads, an open session."""

from __future__ import annotations

import atexit
import functools
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, Final, Protocol

from audit.errors import AuditError
from audit.pipeline.opening import open_session
from audit.pipeline.progress import SILENT, Progress
from audit.pipeline.session import AuditRequest, Session

IN_FLIGHT: Final = 512
"""Tasks that are handed over and not done: a cluster is not given a million to remember."""


class Handle:
    """A session and whoever follows its progress; pickled, it is the request alone.

    Threads of this process share what is open. On the other side of a pickle - a process, a Dask
    or Ray worker - the session is opened again by its request, and nobody is told of progress.
    """

    __slots__ = ("_session", "key", "progress", "request")

    def __init__(self, session: Session, progress: Progress = SILENT) -> None:
        self._session: Session | None = session
        self.request, self.key, self.progress = session.request, session.key, progress

    def __getstate__(self) -> tuple[AuditRequest, str]:
        return self.request, self.key

    def __setstate__(self, state: tuple[AuditRequest, str]) -> None:
        self.request, self.key = state
        self._session, self.progress = None, SILENT

    def __reduce__(self) -> tuple[Any, ...]:
        return object.__new__, (Handle,), self.__getstate__()

    @property
    def session(self) -> Session:
        """The session, opened again where that is needed.

        Raises
        ------
        AuditError
            The worker has other data, weights or software, or another kind of device.
        """
        if self._session is None:
            self._session = _open_on_worker(self.request)
            if self._session.key != self.key:
                raise AuditError(
                    "this worker does not see what the audit began with: its dataset, weights, "
                    "software or kind of device differ, so its scores would not belong to the rest"
                )
        return self._session


_children = ExitStack()
atexit.register(_children.close)


@functools.lru_cache(maxsize=1)
def _open_on_worker(request: AuditRequest) -> Session:
    """The session that a worker opened last: it gets many shards of one audit."""
    session = open_session(request, frozen=True)
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

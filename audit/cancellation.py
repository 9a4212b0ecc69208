"""The end of work that was asked to end: nothing begins any more, in any thread.

An exception reaches only the thread that it is raised in, and the threads that compute are waited
for before a process can end. So each of them asks here before its next piece of work.
"""

from __future__ import annotations

import threading

_asked = threading.Event()


class Stopped(BaseException):
    """Somebody asked the work to end. As with ``KeyboardInterrupt``, nobody mends it by the way."""


def ask_to_stop() -> bool:
    """Let all work of this process end at its next piece; returns whether nobody had asked."""
    first = not _asked.is_set()
    _asked.set()
    return first


def begin() -> None:
    """Forget what was asked: new work begins, such as another audit in one notebook."""
    _asked.clear()


def stop_if_asked() -> None:
    """Raise :class:`Stopped` where the work was asked to end."""
    if _asked.is_set():
        raise Stopped

"""The end of work that was asked to end: nothing begins any more, in any thread.

An exception reaches only the thread that it is raised in, and the threads that compute are waited
for before a process can end. So each of them asks here before its next piece of work.
"""

from __future__ import annotations

from types import SimpleNamespace

# No threading.Event: who handles a signal asks, and a second signal comes in the midst of that, in
# the same thread. It would wait for ever for the lock which the first one holds.
_asked = SimpleNamespace(to_stop=False)


class Stopped(BaseException):
    """Somebody asked the work to end. As with ``KeyboardInterrupt``, nobody mends it by the way."""


def ask_to_stop() -> bool:
    """Let all work of this process end at its next piece; returns whether nobody had asked."""
    first = not _asked.to_stop
    _asked.to_stop = True
    return first


def begin() -> None:
    """Forget what was asked: new work begins, such as another audit in one notebook."""
    _asked.to_stop = False


def stop_if_asked() -> None:
    """Raise :class:`Stopped` where the work was asked to end."""
    if _asked.to_stop:
        raise Stopped

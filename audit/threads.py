"""Independent parts of the work on the threads of a CPU, each computed on a single one.

Threads that share one image wait for each other at every layer, and some kernels round in another
way for another number of threads. Parts that share nothing do neither.
"""

from __future__ import annotations

import functools
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

from audit.cancellation import stop_if_asked

T = TypeVar("T")

_WAITING = 64
"""Items of :func:`as_they_come` that may wait for a slow caller."""


def on_threads(work: Callable[[int], T], count: int, *, together: bool = True) -> list[T]:
    """Call ``work(0)`` to ``work(count - 1)`` with one torch thread each.

    Parameters
    ----------
    work : callable
        Runs with the caller's grad and inference mode, maybe in another thread, where torch uses
        one thread. What the calls share must bear that.
    count : int
        Number of calls.
    together : bool
        As many at a time as ``torch.get_num_threads()``; False: one after the other.

    Returns
    -------
    list
        What the calls returned, in their order. The first exception is raised, after the calls
        that had begun have ended.

    Raises
    ------
    Stopped
        The process was asked to end; the calls that had not begun were left out.

    Examples
    --------
    >>> on_threads(lambda index: index * index, 3)
    [0, 1, 4]
    """
    threads = torch.get_num_threads()
    if threads == 1:
        return [_unless_stopped(work, index) for index in range(count)]
    pool = _pool(threads, os.getpid(), "microbatch")
    # Both modes belong to a thread.
    grad, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    def run(index: int) -> T:
        with torch.inference_mode(inference), torch.set_grad_enabled(grad):
            return _unless_stopped(work, index)

    if not together:
        return [pool.submit(run, index).result() for index in range(count)]
    begun: list[Future[T]] = [pool.submit(run, index) for index in range(count)]
    try:
        return [one.result() for one in begun]
    finally:
        for one in begun:
            one.cancel()
        wait(begun)


def as_they_come(make: Callable[[int], Iterator[T]], count: int) -> Generator[T, None, None]:
    """Run ``make(0)`` to ``make(count - 1)``, iterators that share nothing; pass on their items.

    Parameters
    ----------
    make : callable
        Called, and its iterator followed, with the caller's modes in another thread where torch
        uses one thread; as many at a time as ``torch.get_num_threads()``.
    count : int
        Number of iterators.

    Returns
    -------
    generator
        The items as they are ready. A few wait for a slow caller, then the iterators wait, too.
        Where the caller closes this iterator, or the process was asked to end, they stop at
        their next item. The first exception is raised.

    Examples
    --------
    >>> sorted(as_they_come(lambda index: iter(range(index)), 3))
    [0, 0, 1]
    """
    threads = torch.get_num_threads()
    if threads == 1:
        for index in range(count):
            for item in make(index):
                stop_if_asked()
                yield item
        return
    ready: queue.SimpleQueue[tuple[T] | Future[None]] = queue.SimpleQueue()
    room, left = threading.Semaphore(_WAITING), threading.Event()
    grad, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    def run(index: int) -> None:
        with torch.inference_mode(inference), torch.set_grad_enabled(grad):
            for item in make(index):
                stop_if_asked()
                while not room.acquire(timeout=1):
                    stop_if_asked()
                if left.is_set():
                    return
                ready.put((item,))

    pool = _pool(threads, os.getpid(), "stream")
    begun = [pool.submit(run, index) for index in range(count)]
    try:
        for one in begun:
            one.add_done_callback(ready.put)
        ended = 0
        while ended < count:
            entry = ready.get()
            if isinstance(entry, Future):
                ended += 1
                entry.result()
            else:
                room.release()
                yield entry[0]
    finally:
        left.set()
        for one in begun:
            one.cancel()
        room.release(count)
        wait(begun)


def _unless_stopped(work: Callable[[int], T], index: int) -> T:
    stop_if_asked()
    return work(index)


@functools.lru_cache(maxsize=2)
def _pool(threads: int, _process: int, purpose: str) -> ThreadPoolExecutor:
    """The worker threads of this process; a forked one inherits none."""
    all_there = threading.Barrier(threads + 1)
    pool = ThreadPoolExecutor(threads, purpose, initializer=_take_one_thread)
    try:
        for _ in range(threads):
            pool.submit(all_there.wait)
        all_there.wait()
    except BaseException:
        # Whoever is asked to end in here must not leave threads that wait for him: Python joins
        # them before it ends.
        all_there.abort()
        raise
    # What one thread sets holds for all that are made later: say it again for those.
    torch.set_num_threads(threads)
    return pool


def _take_one_thread() -> None:
    # Asked first: a thread that never asked would take the number that holds for all.
    torch.get_num_threads()
    torch.set_num_threads(1)

"""Independent pieces of work on the threads of a CPU, each computed on a single one.

Threads that share one image wait for each other at every layer, and some kernels round in another
way for another number of threads. Pieces that share nothing do neither.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

T = TypeVar("T")


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

    Examples
    --------
    >>> on_threads(lambda index: index * index, 3)
    [0, 1, 4]
    """
    threads = torch.get_num_threads()
    if threads == 1:
        return [work(index) for index in range(count)]
    pool = _pool(threads, os.getpid())
    # Both modes belong to a thread.
    grad, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    def run(index: int) -> T:
        with torch.inference_mode(inference), torch.set_grad_enabled(grad):
            return work(index)

    if not together:
        return [pool.submit(run, index).result() for index in range(count)]
    begun: list[Future[T]] = [pool.submit(run, index) for index in range(count)]
    try:
        return [one.result() for one in begun]
    finally:
        for one in begun:
            one.cancel()
        wait(begun)


@functools.lru_cache(maxsize=1)
def _pool(threads: int, _process: int) -> ThreadPoolExecutor:
    """The worker threads of this process; a forked one inherits none."""
    all_there = threading.Barrier(threads + 1)
    pool = ThreadPoolExecutor(threads, "piece", initializer=_take_one_thread)
    for _ in range(threads):
        pool.submit(all_there.wait)
    all_there.wait()
    # What one thread sets holds for all that are made later: say it again for those.
    torch.set_num_threads(threads)
    return pool


def _take_one_thread() -> None:
    # Asked first: a thread that never asked would take the number that holds for all.
    torch.get_num_threads()
    torch.set_num_threads(1)

"""Decoding in child processes, ahead of the model and in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from threading import BoundedSemaphore, Lock
from types import TracebackType

from audit.dataset.decoder import Decoder, LoadingPlan, start_decoder
from audit.dataset.decoding_messages import Answer, request_of
from audit.dataset.loading import LoadedSample
from audit.dataset.samples import Sample
from audit.dataset.shared_pixels import SharedPixels
from audit.errors import SampleError

__all__ = ["TIMEOUT", "Loaded", "Loader", "LoadingPlan"]

TIMEOUT = 10.0
"""Seconds for one image; slow storage and a hostile file look alike from here."""

Loaded = LoadedSample | SampleError


class Loader:
    """Loads samples in child processes; a context manager.

    It may be entered while it is entered, by other threads too: all share the same children, which
    start with the first images and end when the last block is left. A child that crashes or hangs
    is replaced, and its image tried once more while no other is decoded: the machine may have been
    busy, or have ended the child for want of memory.

    Parameters
    ----------
    plan : LoadingPlan
        What the children must know.
    workers : int
        Number of children.
    timeout : float
        Seconds for one image.
    """

    def __init__(self, plan: LoadingPlan, workers: int = 2, timeout: float = TIMEOUT) -> None:
        self._plan, self.workers, self._timeout = plan, workers, timeout
        self._one_by_one = Lock()
        self._turns = BoundedSemaphore(workers)
        self._idle: SimpleQueue[Decoder | None] = SimpleQueue()
        self._entering, self._blocks = Lock(), 0

    def __enter__(self) -> Loader:
        with self._entering:
            if not self._blocks:
                for _ in range(self.workers):
                    self._idle.put(None)
                self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="decoding")
            self._blocks += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._entering:
            self._blocks -= 1
            if self._blocks:
                return
            self._threads.shutdown(wait=True, cancel_futures=True)
            while not self._idle.empty():
                child = self._idle.get()
                if child is not None:
                    child.close()

    def load(
        self, samples: Iterable[tuple[Sample, tuple[int, int] | None]], ahead: int = 64
    ) -> Iterator[Loaded]:
        """Load samples in order, at most `ahead` of them before they are asked for.

        Parameters
        ----------
        samples : iterable of (Sample, (size, mtime_ns) or None)
            What to load, and what each file was when the run began.
        ahead : int
            Bound on what waits in memory.

        Yields
        ------
        LoadedSample or SampleError
            One for each sample; errors are yielded, since one bad image ends nothing.
        """
        waiting: deque[Future[Loaded]] = deque()
        try:
            for sample, since in samples:
                waiting.append(self._threads.submit(self._load_one, sample, since))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # Whoever stops before the end leaves the children to those who share them.
            for future in waiting:
                future.cancel()

    def _load_one(self, sample: Sample, since: tuple[int, int] | None) -> Loaded:
        with self._turns:
            loaded, is_certain = self._try_one(sample, since)
        if is_certain:
            return loaded
        with self._alone():
            return self._try_one(sample, since)[0]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until nothing is decoded, and let nothing be decoded until the block ends."""
        with self._one_by_one:
            for _ in range(self.workers):
                self._turns.acquire()
            try:
                yield
            finally:
                self._turns.release(self.workers)

    def _try_one(self, sample: Sample, since: tuple[int, int] | None) -> tuple[Loaded, bool]:
        """Load a sample; False with what may be no fault of the image."""
        child = self._idle.get()
        try:
            child = child or start_decoder(self._plan)
            try:
                answer = child.ask(request_of(sample, since), self._timeout)
                return _loaded(answer, child.pixels), True
            except TimeoutError:
                busy = child.was_busy()
                child.close()
                child = None
                return SampleError("TIMEOUT", f"not decoded within {self._timeout:g} s"), busy
            except EOFError:
                child.close()
                code = child.process.returncode
                child = None
                detail = f"the decoder died twice (exit status {code})"
                return SampleError("DECODER_CRASH", detail), False
        finally:
            self._idle.put(child)


def _loaded(answer: Answer, pixels: SharedPixels) -> Loaded:
    if "reason" in answer:
        return SampleError(answer["reason"], answer["detail"])
    return LoadedSample(
        pixels.image(),
        pixels.mask() if answer["has_foreground"] else None,
        answer["sha256"],
        tuple(answer["notes"]),
        answer["foreground_problem"],
    )

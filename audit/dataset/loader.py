"""Decoding in child processes, ahead of the model and in order."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any

import numpy as np

from audit.dataset.loading import LoadedSample
from audit.dataset.samples import Sample
from audit.errors import DatasetError, SampleError
from audit.geometry import Geometry

TIMEOUT = 10.0
"""Seconds for one image; slow storage and a hostile file look alike from here."""

_STARTUP_TIMEOUT = 120.0


@dataclass(frozen=True)
class LoadingPlan:
    """What every child must know before its first image.

    Parameters
    ----------
    geometry : Geometry
        Of the model.
    source : str
        Of the foregrounds; see :func:`audit.dataset.foregrounds.open_foreground`.
    options : mapping
        Of that source.
    folder : Path
        Of the manifest; plugins may lie in it.
    """

    geometry: Geometry
    source: str = "none"
    options: Mapping[str, Any] | None = None
    folder: Path = Path()


class _Child:
    """One decoding process."""

    def __init__(self, plan: LoadingPlan) -> None:
        package_root = str(Path(__file__).resolve().parents[2])
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "audit.dataset.decoding_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        setup = {
            "geometry": asdict(plan.geometry),
            "source": plan.source,
            "options": {
                k: str(v) if isinstance(v, Path) else v for k, v in (plan.options or {}).items()
            },
            "folder": str(plan.folder),
            "import_path": [str(plan.folder)],
        }
        header, _ = self.ask(setup, _STARTUP_TIMEOUT)
        if "failed" in header:
            self.close()
            raise DatasetError(header["failed"])

    def ask(self, message: dict[str, Any], timeout: float) -> tuple[dict[str, Any], list[bytes]]:
        """Send one message and wait for its answer; EOFError, TimeoutError where none comes."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise EOFError from error
        deadline = time.monotonic() + timeout
        line, rest = self._until_newline(deadline)
        header = json.loads(line)
        wanted = sum(header["bytes"])
        body = bytearray(rest)
        while len(body) < wanted:
            body += self._read(deadline)
        buffers, start = [], 0
        for length in header["bytes"]:
            buffers.append(bytes(body[start : start + length]))
            start += length
        return header, buffers

    def _until_newline(self, deadline: float) -> tuple[bytes, bytes]:
        received = bytearray()
        while True:
            received += self._read(deadline)
            head, newline, rest = bytes(received).partition(b"\n")
            if newline:
                return head, rest

    def _read(self, deadline: float) -> bytes:
        assert self.process.stdout is not None
        handle = self.process.stdout.fileno()
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([handle], [], [], left)[0]:
            raise TimeoutError
        received = os.read(handle, 1 << 20)
        if not received:
            raise EOFError
        return received

    def close(self) -> None:
        """End the process and close its pipes."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue


Loaded = LoadedSample | SampleError


class Loader:
    """Loads samples in child processes; a context manager.

    A child that crashes or hangs costs its one image and is replaced.

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
        self._plan = plan
        self._timeout = timeout
        self._idle: SimpleQueue[_Child | None] = SimpleQueue()
        for _ in range(workers):
            self._idle.put(None)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decoding")

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
        for sample, since in samples:
            waiting.append(self._threads.submit(self._load_one, sample, since))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _load_one(self, sample: Sample, since: tuple[int, int] | None) -> Loaded:
        child = self._idle.get()
        try:
            if child is None:
                child = _Child(self._plan)
            try:
                header, buffers = child.ask(_request(sample, since), self._timeout)
            except (EOFError, TimeoutError) as error:
                child.close()
                code = child.process.returncode
                child = None
                if isinstance(error, TimeoutError):
                    return SampleError("TIMEOUT", f"not decoded within {self._timeout:g} s")
                return SampleError("DECODER_CRASH", f"the decoder died (exit status {code})")
        finally:
            self._idle.put(child)
        if "reason" in header:
            return SampleError(header["reason"], header["detail"])
        side = self._plan.geometry.size
        image = np.frombuffer(buffers[0], np.uint8).reshape(side, side, 3)
        mask = np.frombuffer(buffers[1], np.uint8).reshape(side, side) if buffers[1] else None
        return LoadedSample(
            image, mask, header["sha256"], tuple(header["notes"]), header["foreground_problem"]
        )


def _request(sample: Sample, since: tuple[int, int] | None) -> dict[str, Any]:
    return {
        "sample_id": sample.sample_id,
        "path": os.fsencode(sample.path).hex(),
        "label_name": sample.label_name,
        "mask": os.fsencode(sample.mask).hex() if sample.mask else "",
        "boxes": sample.boxes,
        "metadata": sample.metadata,
        "annotation": sample.annotation.to_json() if sample.annotation else None,
        "member": sample.member,
        "foreground_stamp": sample.foreground_stamp,
        "unchanged_since": since,
    }

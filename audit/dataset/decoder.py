"""One decoding process, seen from its parent: started, asked, ended."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from audit.dataset.decoding_messages import Answer, Request, Setup, fields_of
from audit.dataset.outline_store import OutlineStore
from audit.dataset.shared_pixels import SharedPixels
from audit.errors import AuditError, DatasetError
from audit.geometry import Geometry

_STARTUP_TIMEOUT = 120.0
_STARTS = 3
_PATIENCE = 0.2
"""An answer is late after this share of the time that it may take."""
_BUSY = 0.5
"""A decoder that computed for this share of the rest was not kept waiting: its image is slow."""


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
    outlines : OutlineStore, optional
        Where estimated outlines lie.
    widened : int
        Pixels of the input by which foregrounds are drawn wider than they are, to all sides.
    """

    geometry: Geometry
    source: str = "none"
    options: Mapping[str, object] | None = None
    folder: Path = Path()
    outlines: OutlineStore | None = None
    widened: int = 0


def _started(pixels: SharedPixels) -> subprocess.Popen[bytes]:
    package_root = str(Path(__file__).resolve().parents[2])
    path = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "audit.dataset.decoding_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), **threads},
        pass_fds=[pixels.descriptor],
    )


def _setup_of(plan: LoadingPlan, pixels: SharedPixels) -> Setup:
    options = plan.options or {}
    return {
        "geometry": fields_of(plan.geometry),
        "source": plan.source,
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in options.items()},
        "folder": str(plan.folder),
        "import_path": [str(plan.folder)],
        "outlines": plan.outlines.to_json() if plan.outlines else None,
        "widened": plan.widened,
        "pixels": pixels.descriptor,
    }


class Decoder:
    """One decoding process, as its parent sees it."""

    def __init__(self, plan: LoadingPlan) -> None:
        self._slow: tuple[float, float] | None = None
        self.pixels = SharedPixels(plan.geometry.size)
        try:
            self.process = _started(self.pixels)
        except OSError:
            self.pixels.close()
            raise
        setup = _setup_of(plan, self.pixels)
        try:
            header = self.ask(setup, _STARTUP_TIMEOUT)
        except (EOFError, TimeoutError):
            self.close()
            raise
        if "failed" in header:
            self.close()
            raise DatasetError(header["failed"])

    def cpu_seconds(self) -> float:
        """How long it has computed since it began; 0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        # The fields behind the name begin with the third; these are those of user and system.
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, message: Setup | Request, timeout: float) -> Answer:
        """Send one message and wait for its answer; EOFError, TimeoutError where none comes.

        Of a sample that was decoded `pixels` hold image and mask until the next message.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise EOFError from error
        deadline = time.monotonic() + timeout
        self._slow = None
        received = bytearray()
        while not received.endswith(b"\n"):
            received += self._read(deadline, _PATIENCE * timeout)
        answer: Answer = json.loads(received)
        return answer

    def was_busy(self) -> bool:
        """Whether it computed most of the time since its answer began to be late.

        Then its image is slow; else the machine kept it waiting.
        """
        if self._slow is None:
            return False
        since, computed = self._slow
        return self.cpu_seconds() - computed > _BUSY * (time.monotonic() - since)

    def _read(self, deadline: float, patience: float) -> bytes:
        assert self.process.stdout is not None
        handle = self.process.stdout.fileno()
        left = deadline - time.monotonic()
        # To ask how long it has computed costs much beside a small image: only of late answers.
        if not select.select([handle], [], [], max(0, min(patience, left)))[0]:
            self._slow = self._slow or (time.monotonic(), self.cpu_seconds())
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([handle], [], [], left)[0]:
                raise TimeoutError
        received = os.read(handle, 1 << 16)
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
        self.pixels.close()


def start_decoder(plan: LoadingPlan) -> Decoder:
    """Start a process, several times where something ends it before it is ready.

    Raises
    ------
    DatasetError
        Its plan is wrong, which the child says.
    AuditError
        None could be started.
    """
    problem = ""
    for attempt in range(_STARTS):
        time.sleep(attempt)
        try:
            return Decoder(plan)
        except EOFError:
            problem = "it ended before it was ready; is there memory left?"
        except TimeoutError:
            problem = f"it was not ready after {_STARTUP_TIMEOUT:.0f} s"
        except OSError as error:
            problem = error.strerror or type(error).__name__
    raise AuditError(
        f"no process that decodes images could be started in {_STARTS} attempts: {problem}. "
        "Finished shards are kept; the same command goes on from there."
    )

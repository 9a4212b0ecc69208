"""The bytes of an image file, read within bounds and only where they are those that were listed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from audit.errors import SampleError

MAX_BYTES = 256 * 2**20


def check_file(path: Path, unchanged_since: tuple[int, int] | None = None) -> int:
    """Look at a file without opening it; returns its size in bytes.

    Parameters
    ----------
    path : Path
        Symbolic links are followed; the reader has judged them.
    unchanged_since : (size, mtime_ns) or None
        What the file was when the run began.

    Raises
    ------
    SampleError
        Missing, not a regular file, or changed.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        reason = "CHANGED_DURING_RUN" if unchanged_since else "MISSING"
        raise SampleError(reason, f"cannot be opened ({error.strerror})") from error
    if not stat.S_ISREG(found.st_mode):
        raise SampleError("NOT_A_FILE", "not a regular file; it was not opened")
    if unchanged_since and (found.st_size, found.st_mtime_ns) != tuple(unchanged_since):
        raise SampleError("CHANGED_DURING_RUN", "the file is not the one that the run listed")
    return found.st_size


def read_bytes(path: Path, unchanged_since: tuple[int, int] | None = None) -> bytes:
    """Read a regular file, once, within :data:`MAX_BYTES`; see :func:`check_file`.

    Raises
    ------
    SampleError
        Missing, not a regular file, too large, unreadable, or changed.
    """
    size = check_file(path, unchanged_since)
    if size > MAX_BYTES:
        raise SampleError("TOO_MANY_BYTES", f"{size} bytes; the limit is {MAX_BYTES}")
    if size == 0:
        raise SampleError("NOT_AN_ALLOWED_IMAGE", "the file is empty")
    try:
        return path.read_bytes()
    except OSError as error:
        raise SampleError("UNREADABLE", f"cannot be read ({error.strerror})") from error

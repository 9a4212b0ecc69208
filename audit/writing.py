"""Files written so that no crash can tear them, and what a full or broken disk is called."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from audit.errors import AuditError


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file so that after any crash it holds either all of the new or all of the old.

    Parameters
    ----------
    path : Path
        Where the file must end.
    write : callable
        Gets a temporary path in the same folder and writes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


_STORAGE = {
    errno.ENOSPC: "the disk is full, or has no room for another file",
    errno.EDQUOT: "the quota of this disk is used up",
    errno.EROFS: "the disk can only be read",
    errno.EIO: "the disk reports an error",
}


def storage_problem(error: BaseException) -> str | None:
    """What is wrong with the disk, in a sentence; None where the error is of another kind."""
    number = error.errno if isinstance(error, OSError) else None
    if number not in _STORAGE:
        return None
    return (
        f"{_STORAGE[number]} ({error}). What was finished is kept; make room, and the same "
        "command goes on from there."
    )


@contextmanager
def storage_as_sentence() -> Iterator[None]:
    """Turn what a full or broken disk makes of the block into one sentence.

    Raises
    ------
    AuditError
        In the place of the operating system's own error.
    """
    try:
        yield
    except OSError as error:
        if problem := storage_problem(error):
            raise AuditError(problem) from error
        raise


def reserve(path: Path) -> None:
    """Take all of the disk that a sparse file may come to need.

    A page that finds no room when it is written through a mapping ends the process by a signal.

    Raises
    ------
    OSError
        The disk has less.
    """
    with path.open("r+b") as opened:
        os.posix_fallocate(opened.fileno(), 0, os.fstat(opened.fileno()).st_size)


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    write_atomically(path, lambda temporary: _put(temporary, content))


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; NaN is refused, since it would not be JSON."""
    text = json.dumps(content, indent=1, ensure_ascii=True, allow_nan=False)
    write_bytes(path, (text + "\n").encode())

"""Files beside the runs to which lines are only added: what people decided, never rewritten."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from audit.errors import RunFolderError

R = TypeVar("R", bound=BaseModel)

MAX_BYTES = 64 * 2**20
_log = logging.getLogger(__name__)


def append(path: Path, record: BaseModel) -> None:
    """Add a line; two writers at once both keep theirs.

    Raises
    ------
    RunFolderError
        The file cannot be written.
    """
    line = record.model_dump_json(exclude_none=True) + "\n"
    try:
        with path.open("ab+") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            # A line that a crash tore off must not swallow this one.
            if opened.seek(0, 2):
                opened.seek(-1, 2)
                line = line if opened.read(1) == b"\n" else f"\n{line}"
            opened.write(line.encode())
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be written ({error})") from error


def read(path: Path, kind: type[R]) -> tuple[R, ...]:
    """All lines, the oldest first; what cannot be read counts for nothing, with a warning."""
    try:
        if not path.is_file():
            return ()
        if path.stat().st_size > MAX_BYTES:
            _log.warning("%s: more than %d bytes; it counts for nothing", path.name, MAX_BYTES)
            return ()
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        _log.warning("%s: cannot be read (%s); it counts for nothing", path.name, error.strerror)
        return ()
    return tuple(_parsed(path.name, lines, kind))


def _parsed(name: str, lines: Sequence[bytes], kind: type[R]) -> Iterator[R]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield kind.model_validate_json(line)
        except ValidationError:
            _log.warning(
                "%s: line %d is no %s and counts for nothing", name, number, kind.__name__.lower()
            )

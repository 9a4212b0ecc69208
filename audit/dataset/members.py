"""Images that are no files of their own: a part of an archive, or a cell of a table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from audit.dataset.image_bytes import MAX_BYTES, check_file, read_bytes
from audit.dataset.samples import Sample
from audit.errors import SampleError

_AT_ONCE = 64


def read_member(sample: Sample, unchanged_since: tuple[int, int] | None = None) -> bytes:
    """Read the bytes of a sample's image.

    Parameters
    ----------
    sample : Sample
        Its `member` is empty: the file itself; ``("bytes", start, length)``: a part of it;
        ``("parquet", row, column, ...)``: a cell, and the fields within it.
    unchanged_since : (size, mtime_ns) or None
        What the file was when the run began.

    Raises
    ------
    SampleError
        See :func:`audit.dataset.image_bytes.read_bytes`.
    """
    if not sample.member:
        return read_bytes(sample.path, unchanged_since)
    check_file(sample.path, unchanged_since)
    kind, *where = sample.member
    try:
        if kind == "bytes":
            return _part(sample.path, int(where[0]), int(where[1]))
        content = _rows.cell(sample.path, int(where[0]), [str(name) for name in where[1:]])
    except OSError as error:
        raise SampleError("UNREADABLE", f"cannot be read ({error.strerror})") from error
    if not isinstance(content, bytes) or not content:
        raise SampleError("MISSING", "the row holds no image bytes")
    if len(content) > MAX_BYTES:
        raise SampleError("TOO_MANY_BYTES", f"{len(content)} bytes; the limit is {MAX_BYTES}")
    return content


def _part(path: Path, start: int, length: int) -> bytes:
    if length > MAX_BYTES:
        raise SampleError("TOO_MANY_BYTES", f"{length} bytes; the limit is {MAX_BYTES}")
    with path.open("rb") as opened:
        opened.seek(start)
        return opened.read(length)


class _Rows:
    """Cells of one Parquet file after the other; rows are asked for mostly in order."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] = ()
        self._batches: Iterator[Any] = iter(())
        self._first = 0
        self._held: list[Any] = []

    def cell(self, path: Path, row: int, fields: list[str]) -> Any:
        """The value of one row, below some names of fields."""
        # Heavy, and needed for such files only.
        import pyarrow.parquet as pq

        found = os.stat(path)
        key = (path, found.st_size, found.st_mtime_ns, *fields)
        if key != self._key or row < self._first:
            opened = pq.ParquetFile(path)
            column = ".".join(fields)
            self._batches = opened.iter_batches(batch_size=_AT_ONCE, columns=[column])
            self._key, self._first, self._held = key, 0, []
        while row >= self._first + len(self._held):
            self._first += len(self._held)
            batch = next(self._batches, None)
            if batch is None:
                raise SampleError("MISSING", "the table has no such row")
            self._held = batch.column(0).to_pylist()
        value = self._held[row - self._first]
        for name in fields[1:]:
            value = value.get(name) if isinstance(value, dict) else None
        return value


_rows = _Rows()

"""The frozen list of samples that a run is about: a row a sample, and back."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audit.dataset.outlines import Foreground
from audit.dataset.samples import Annotation, Sample


def printable(text: str) -> str:
    r"""Show a name that may hold undecodable bytes; such names cannot be written to any file.

    Examples
    --------
    >>> printable("caf\udce9.png")
    'caf\\xe9.png'
    """
    if text.isascii():
        return text
    try:
        encoded = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # JSON can hold halves of characters, which come from no file's name.
        encoded = text.encode("utf-8", "surrogatepass")
    return encoded.decode("utf-8", "backslashreplace")


def samples_table(
    samples: Iterable[Sample],
    labels: Iterable[int] = (),
    on_progress: Callable[[int], None] = lambda _: None,
) -> pd.DataFrame:
    """The frozen list of samples, one row each, in the order in which shards cut it.

    Columns are those of :class:`Sample`, plus the file's `size` and `mtime_ns` as the run began
    (-1: it could not be looked at), those of its foreground's files once
    :func:`stamp_foregrounds` has looked at them, and `label` where `labels` are given.
    """
    # No sample is kept, and few rows at a time are Python's objects: datasets have millions.
    rows = map(_row, samples)
    parts = [_frame(())]
    while few := tuple(itertools.islice(rows, _AT_ONCE)):
        parts.append(_frame(few))
        on_progress(len(few))
    table = pd.concat(parts[1:] or parts, ignore_index=True)
    if len(given := list(labels)):
        table.insert(_COLUMNS.index("label_name"), "label", given)
    return table


def stamp_images(table: pd.DataFrame) -> None:
    """Write into a list of samples what the files of their images are now; see `samples_table`."""
    stamps = [_stamp(os.fsdecode(path)) for path in table["path"]]
    table["size"], table["mtime_ns"] = map(list, zip(*stamps, strict=True))


def stamp_foregrounds(table: pd.DataFrame, foreground: Foreground | None) -> None:
    """Write into a list of samples what the files of their foregrounds are now.

    The columns ``mask_size`` and ``mask_mtime_ns`` hold bytes and times; -1 where no file is read.

    Parameters
    ----------
    table : DataFrame
        From :func:`samples_table`; changed in place.
    foreground : Foreground or None
        Of the audit.
    """
    if foreground is None or table.empty:
        return
    stamps = [foreground.stamp(sample_of(row)) for row in table.itertuples()]
    table["mask_size"], table["mask_mtime_ns"] = map(list, zip(*stamps, strict=True))


SAMPLE_COLUMNS: Final = pa.schema(
    [
        ("sample_id", pa.string()),
        ("path", pa.binary()),  # as the file system has it
        ("label", pa.int64()),
        ("label_name", pa.string()),
        ("mask", pa.binary()),
        ("boxes", pa.string()),  # JSON
        ("metadata", pa.string()),  # JSON
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("mask_size", pa.int64()),
        ("mask_mtime_ns", pa.int64()),
        ("sha256", pa.string()),  # of the image's bytes; "": unknown
        ("mask_sha256", pa.string()),  # of what its foreground is read from; "": nothing
        ("annotation", pa.string()),  # JSON: where its outlines are written; "": nowhere
        ("member", pa.string()),  # JSON: which part of the file it is; "": all of it
    ]
)
"""Of ``samples.parquet``: a row a sample; its place is the row that other tables name."""


def sample_rows(table: pd.DataFrame) -> pa.Table:
    """The list of samples as ``samples.parquet`` holds it."""
    return pa.Table.from_pandas(table, SAMPLE_COLUMNS, preserve_index=False)


def read_samples(path: Path) -> pd.DataFrame:
    """The list of samples that :func:`sample_rows` wrote, whole.

    Raises
    ------
    OSError, pyarrow.ArrowException
        It is not there, or is none.
    """
    table = pq.read_table(path, columns=SAMPLE_COLUMNS.names)
    read: pd.DataFrame = table.cast(SAMPLE_COLUMNS).to_pandas()
    return read


_AT_ONCE = 8192
_COLUMNS = (
    *("sample_id", "path", "label_name", "mask", "boxes", "metadata", "size", "mtime_ns"),
    *("annotation", "member", "mask_size", "mask_mtime_ns", "sha256", "mask_sha256"),
)


def _frame(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    columns = dict(zip(_COLUMNS, zip(*rows, strict=True), strict=True)) if rows else {}
    values = {name: list(columns.get(name, ())) for name in _COLUMNS}
    return pd.DataFrame({**values, "mask": pd.Series(values["mask"], dtype=object)})


def _stamp(path: str | Path) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def _row(sample: Sample) -> tuple[Any, ...]:
    return (
        printable(sample.sample_id),
        # Bytes keep names that are no UTF-8.
        os.fsencode(sample.path),
        printable(sample.label_name),
        os.fsencode(sample.mask) if sample.mask else None,
        json.dumps(sample.boxes) if sample.boxes else "[]",
        json.dumps(sample.metadata) if sample.metadata else "{}",
        *_stamp(sample.path),
        # ASCII, in which JSON keeps names that are no UTF-8.
        json.dumps(sample.annotation.to_json()) if sample.annotation else "",
        json.dumps(sample.member) if sample.member else "",
        *(sample.foreground_stamp or (-1, -1)),
        # Until :func:`audit.dataset.contents.hash_contents` has read them.
        *(sample.sha256, ""),
    )


def sample_of(row: Any) -> Sample:
    """One row of :func:`samples_table`, as a sample again."""
    return Sample(
        sample_id=row.sample_id,
        path=Path(os.fsdecode(row.path)),
        label_name=row.label_name,
        mask=Path(os.fsdecode(row.mask)) if isinstance(row.mask, bytes) else None,
        boxes=tuple(tuple(box) for box in json.loads(row.boxes)),
        metadata=json.loads(row.metadata),
        annotation=Annotation.from_json(json.loads(row.annotation)) if row.annotation else None,
        member=tuple(json.loads(row.member)) if row.member else (),
        foreground_stamp=None if row.mask_size < 0 else (row.mask_size, row.mask_mtime_ns),
        sha256=row.sha256,
    )

"""Tables of other tools, row by row: CSV with any separator and encoding, or Parquet."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from audit.errors import DatasetError

SEPARATORS = (",", ";", "\t", "|")
_LONGEST_FIELD = 16 * 2**20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Rows:
    """A table that is read once, from its first row to its last.

    Parameters
    ----------
    name : str
        Of the file, for messages.
    columns : tuple of str
        As the header says.
    rows : iterable of sequences
        As many values a row as there are columns; of a CSV all text, so that a class ``007`` or
        ``NA`` stays what it is.
    """

    name: str
    columns: tuple[str, ...]
    rows: Iterable[Sequence[Any]]


def open_table(
    path: Path,
    *,
    separator: str | None = None,
    encoding: str | None = None,
    known: frozenset[str] = frozenset(),
) -> Rows:
    """Open a table by its header.

    Parameters
    ----------
    path : Path
        ``.parquet`` or ``.pq``; everything else is taken for CSV.
    separator, encoding : str, optional
        Of a CSV; None: by its header and its first bytes.
    known : frozenset of str
        Names of columns, in small letters, by which the separator is recognised.

    Raises
    ------
    DatasetError
        Unreadable; the message names the line, or the option that helps.
    """
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return _parquet(path)
        return _csv(path, separator, encoding or _encoding(path), known)
    except DatasetError:
        raise
    except Exception as error:
        raise DatasetError(
            f"dataset.index: {path.name} cannot be read ({error}). Expected a CSV or a Parquet "
            "file that is whole; name another."
        ) from error


def _parquet(path: Path) -> Rows:
    opened = pq.ParquetFile(path)
    columns = tuple(opened.schema_arrow.names)

    def rows() -> Iterator[tuple[Any, ...]]:
        for batch in opened.iter_batches():
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    return Rows(path.name, columns, rows())


def _encoding(path: Path) -> str:
    with path.open("rb") as opened:
        head = opened.read(4096)
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    # Text without a mark holds no zero bytes, but for UTF-16, where every other one is.
    for offset, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(head) > 8 and not any(head[offset:64:2]) and all(head[1 - offset : 64 : 2]):
            return name
    return "utf-8"


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let fields be as long as outlines are; the bound of the csv module is that of the process."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _csv(path: Path, separator: str | None, encoding: str, known: frozenset[str]) -> Rows:
    with path.open(encoding=encoding, newline="") as opened:
        try:
            first = opened.readline()
        except UnicodeDecodeError as error:
            raise DatasetError(_not_text(path, encoding, error)) from error
    with _long_fields():
        chosen = separator or max(SEPARATORS, key=lambda s: _likely(first, s, known))
        columns = tuple(name.strip() for name in _split(first, chosen))
    if not any(columns):
        raise DatasetError(
            f"dataset.index: {path.name} has no header in its first line. Expected the names of "
            "its columns there, such as path,label."
        )
    return Rows(path.name, columns, _csv_rows(path, chosen, encoding, columns))


def _split(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def _likely(line: str, separator: str, known: frozenset[str]) -> tuple[int, int]:
    """How many columns of a header are known with this separator, and how many there are."""
    names = [name.strip().lower() for name in _split(line, separator)]
    return len(known & set(names)), len(names)


def _csv_rows(
    path: Path, separator: str, encoding: str, columns: tuple[str, ...]
) -> Iterator[list[str]]:
    width = len(columns)
    with _long_fields(), path.open(encoding=encoding, newline="") as opened:
        lines = csv.reader(opened, delimiter=separator)
        try:
            next(lines)
            for values in lines:
                if len(values) > width:
                    # Excel and others end each row with a separator more than the header.
                    if any(value.strip() for value in values[width:]):
                        raise DatasetError(
                            f"dataset.index: {path.name}, line {lines.line_num}: {len(values)} "
                            f"values for the {width} columns of the header; a value with a "
                            f"{separator!r} in it must stand in double quotes: correct the line"
                        )
                    values = values[:width]
                if values:
                    yield values + [""] * (width - len(values))
        except UnicodeDecodeError as error:
            raise DatasetError(_not_text(path, encoding, error)) from error
        except csv.Error as error:
            raise DatasetError(
                f"dataset.index: {path.name}, line {lines.line_num}: {error}. Expected values with "
                f"{separator!r} between them; correct the line, or write dataset.separator"
            ) from error


def _not_text(path: Path, encoding: str, error: UnicodeDecodeError) -> str:
    return (
        f"dataset.index: {path.name} is no {encoding} text ({error.reason}). Save it as UTF-8, or "
        "name its encoding, such as dataset.encoding: cp1252"
    )

"""Reader of a table: CSV or Parquet, one row an image."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.dataset.box_columns import BOX_COLUMNS, find_box_columns, read_boxes
from audit.dataset.boxes import BOX_FORMATS
from audit.dataset.csv_entries import Entry, boxes_of, flat, settle_boxes
from audit.dataset.paths import PathResolver, found_there, tidy
from audit.dataset.samples import Remark, Sample, Skipped
from audit.dataset.tables import Rows, open_table
from audit.errors import DatasetError, ManifestError, SampleError

_PATHS = (
    *("path", "file_name", "filename", "filepath", "file_path"),
    *("image", "image_path", "image_name", "img", "img_path"),
)
_LABELS = ("label", "label_name", "class", "class_name", "category", "category_name")
_MASKS = ("mask", "mask_path")
_KNOWN = frozenset(itertools.chain(_PATHS, _LABELS, _MASKS, *BOX_COLUMNS))


def csv_index(
    root: Path,
    *,
    index: str | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    mask_column: str | None = None,
    box_columns: list[str] | str | None = None,
    box_format: str | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    follow_links: bool = False,
) -> Iterator[Sample | Skipped | Remark]:
    """Read a table of images.

    Every value is read as text, so that a class ``007`` or ``NA`` stays what it is.

    Parameters
    ----------
    root : Path
        The folder that the table's paths are relative to; or the table itself.
    index : str, optional
        The table (.csv or .parquet) below `root`; None: ``index.csv`` or ``index.parquet``.
    path_column, label_column : str, optional
        Names of the columns of image path and class name; None: those in use, such as ``path``,
        ``file_name``, ``filename`` and ``label``, ``class``.
    mask_column : str, optional
        Column of mask paths; None: ``mask`` or ``mask_path``, where there is one.
    box_columns : list of 4 str, or str, optional
        Columns of four numbers, or one column with a JSON list of boxes; None: ``x_min .. y_max``,
        ``boxes`` and the like, where there are such. Rows that repeat a path add boxes to it.
    box_format : str, optional
        ``xyxy``, ``xywh`` (COCO) or ``cxcywh`` (YOLO), in pixels or in shares of the sides; None:
        by the columns' names, else by the numbers, which is said.
    separator, encoding : str, optional
        Of a CSV; None: found by its header and first bytes.
    follow_links : bool
        Allow paths that lead out of `root`.

    Raises
    ------
    DatasetError
        The table is missing, unreadable, or lacks a column.
    """
    if box_format not in (None, *BOX_FORMATS):
        expected = " | ".join(BOX_FORMATS)
        raise ManifestError(f"dataset.box_format: expected {expected}, found {box_format!r}")
    table_path, root = _locate(root, index)
    table = open_table(table_path, separator=separator, encoding=encoding, known=_KNOWN)
    columns = _columns(table, path_column, label_column, mask_column, box_columns)
    if box_format is not None:
        columns.box_format = box_format
    entries = _gather(table, columns, PathResolver(root, follow_links))
    if not entries:
        raise DatasetError(
            f"dataset.index: {table.name} has no rows below its header. Expected one an image, or "
            "an object: is it the table that was meant?"
        )
    yield from settle_boxes(entries, columns.box_format)
    names = list(reversed(entries))
    while names:
        # There may be millions, and the list of samples grows meanwhile.
        entry = entries.pop(name := names.pop())
        yield entry.skipped or _sample(name, entry, root)


@dataclass
class _Columns:
    """Where in a row what is to be found."""

    path: int
    label: int
    mask: int | None
    boxes: tuple[int, ...]
    box_format: str | None
    extra: tuple[tuple[int, str], ...]


def _locate(root: Path, index: str | None) -> tuple[Path, Path]:
    if root.is_file():
        return root, root.parent
    names = ["index.csv", "index.parquet"] if index is None else [index]
    for name in names:
        if (root / name).is_file():
            return root / name, root
    raise DatasetError(
        f"dataset.index: no {' or '.join(names)} in {root}; "
        f"{found_there(root, '*.csv', '*.parquet')}. "
        "Write the name of the table, below dataset.root."
    )


def _columns(
    table: Rows,
    path: str | None,
    label: str | None,
    mask: str | None,
    boxes: list[str] | str | None,
) -> _Columns:
    found = {name.lower(): index for index, name in reversed(list(enumerate(table.columns)))}

    def one(key: str, declared: str | None, known: Sequence[str]) -> int:
        if declared is not None and declared in table.columns:
            return table.columns.index(declared)
        for name in known if declared is None else ():
            if name in found:
                return found[name]
        wanted = known[0] if declared is None else declared
        also = f" (nor {', '.join(known[1:])})" if declared is None else ""
        hint = ""
        if any(Path(name).suffix.lower() in (".jpg", ".jpeg", ".png") for name in table.columns):
            hint = ". The first line looks like an image's: a header is missing"
        raise DatasetError(
            f"dataset.{key}: {table.name} has no column {wanted!r}; "
            f"found: {', '.join(map(str, table.columns))}{also}. Write the column's name{hint}"
        )

    path_index, label_index = one("path_column", path, _PATHS), one("label_column", label, _LABELS)
    mask_index = None
    if mask is not None or any(name in found for name in _MASKS):
        mask_index = one("mask_column", mask, _MASKS)
    box_indices, box_format = find_box_columns(boxes, table)
    used = {path_index, label_index, mask_index, *box_indices}
    extra = tuple((i, name) for i, name in enumerate(table.columns) if name and i not in used)
    return _Columns(path_index, label_index, mask_index, box_indices, box_format, extra)


def _gather(table: Rows, columns: _Columns, resolver: PathResolver) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for row in table.rows:
        text, label = _text(row[columns.path]), _text(row[columns.label])
        # `./a.png` and `a.png` are one image.
        sample_id = tidy(text)
        if (entry := entries.get(sample_id)) is None:
            entry = _first(text, sys.intern(label), row, columns, resolver)
            if entry.path == os.path.join(resolver.root, sample_id):
                entry.path = ""
            entries[sample_id] = entry
        elif label != entry.label and entry.skipped is None:
            several = ", ".join(sorted((label, entry.label)))
            detail = f"listed under several labels: {several}"
            entry.skipped = Skipped(text, "LABEL_CONFLICT", detail, min(label, entry.label))
        try:
            if columns.boxes:
                found = read_boxes([row[i] for i in columns.boxes])
                entry.boxes = flat((*boxes_of(entry), *found))
        except (ValueError, RecursionError) as error:
            entry.skipped = entry.skipped or Skipped(text, "BAD_BOX", str(error)[:200], label)
    return entries


def _first(
    text: str, label: str, row: Sequence[Any], columns: _Columns, resolver: PathResolver
) -> Entry:
    entry = Entry(label, "", "", {name: _plain(row[i]) for i, name in columns.extra} or None)
    try:
        entry.path = resolver.locate(text)
        if columns.mask is not None and (mask := _text(row[columns.mask])):
            entry.mask = resolver.locate(mask, "mask")
        if not label:
            raise SampleError("NO_LABEL", "the row has no label")
    except SampleError as error:
        entry.skipped = Skipped(text.replace("\0", "?"), error.reason, error.detail, label)
    return entry


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value).strip()


def _plain(value: Any) -> str | None:
    return None if value is None or value != value else str(value)


def _sample(sample_id: str, entry: Entry, root: Path) -> Sample:
    mask = Path(entry.mask) if entry.mask else None
    path, metadata = Path(entry.path or os.path.join(root, sample_id)), entry.metadata or {}
    return Sample(sample_id, path, entry.label, mask, tuple(boxes_of(entry)), metadata)

"""Reader of a table: CSV or Parquet, one row an image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from audit.dataset.samples import Box, Sample, Skipped
from audit.errors import DatasetError

_MASK_COLUMNS = ("mask", "mask_path")
_BOX_COLUMNS = (
    ("x_min", "y_min", "x_max", "y_max"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x0", "y0", "x1", "y1"),
    ("x1", "y1", "x2", "y2"),
)
_BOX_LIST_COLUMNS = ("boxes_xyxy", "boxes", "bbox_xyxy")


def csv_index(
    root: Path,
    *,
    index: str | None = None,
    path_column: str = "path",
    label_column: str = "label",
    mask_column: str | None = None,
    box_columns: list[str] | str | None = None,
    follow_links: bool = False,
) -> Iterator[Sample | Skipped]:
    """Read a table of images.

    Every value is read as text, so that a class ``007`` or ``NA`` stays what it is.

    Parameters
    ----------
    root : Path
        The folder that the table's paths are relative to; or the table itself.
    index : str, optional
        The table (.csv or .parquet) below `root`; None: ``index.csv`` or ``index.parquet``.
    path_column, label_column : str
        Names of the columns of image path and class name.
    mask_column : str, optional
        Column of mask paths; None: ``mask`` or ``mask_path``, where there is one.
    box_columns : list of 4 str, or str, optional
        Columns of x0, y0, x1, y1 in pixels, or one column with a JSON list of such boxes; None:
        ``x_min .. y_max`` or ``boxes_xyxy``, where there are such. Rows that repeat a path add
        boxes to it.
    follow_links : bool
        Allow paths that lead out of `root`.

    Raises
    ------
    DatasetError
        The table is missing, unreadable, or lacks a column.
    """
    table_path, root = _locate(root, index)
    table = _read_table(table_path)
    for key, column in (("path_column", path_column), ("label_column", label_column)):
        if column not in table.columns:
            raise DatasetError(
                f"dataset.{key}: {table_path.name} has no column {column!r}; "
                f"found: {', '.join(map(str, table.columns))}"
            )
    masks = mask_column or _first(_MASK_COLUMNS, table)
    boxes = _box_columns(box_columns, table, table_path)
    used = {path_column, label_column, masks, *([boxes] if isinstance(boxes, str) else boxes or [])}
    extra = [str(c) for c in table.columns if c not in used]
    for path_text, rows in table.groupby(path_column, sort=False, dropna=False):
        yield _one(root, str(path_text), rows, label_column, masks, boxes, extra, follow_links)


def _locate(root: Path, index: str | None) -> tuple[Path, Path]:
    if root.is_file():
        return root, root.parent
    names = ["index.csv", "index.parquet"] if index is None else [index]
    for name in names:
        if (root / name).is_file():
            return root / name, root
    raise DatasetError(f"dataset.index: no {' or '.join(names)} in {root}")


def _read_table(path: Path) -> pd.DataFrame:
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except Exception as error:
        raise DatasetError(f"dataset.index: {path.name} cannot be read ({error})") from error
    if table.empty:
        raise DatasetError(f"dataset.index: {path.name} has no rows")
    return table


def _first(names: tuple[str, ...], table: pd.DataFrame) -> str | None:
    return next((name for name in names if name in table.columns), None)


def _box_columns(
    declared: list[str] | str | None, table: pd.DataFrame, path: Path
) -> list[str] | str | None:
    if declared is None:
        for names in _BOX_COLUMNS:
            if set(names) <= set(table.columns):
                return list(names)
        return _first(_BOX_LIST_COLUMNS, table)
    wanted = [declared] if isinstance(declared, str) else list(declared)
    missing = [name for name in wanted if name not in table.columns]
    if missing or len(wanted) not in (1, 4):
        raise DatasetError(
            f"dataset.box_columns: expected one or four columns of {path.name}, found {declared!r}"
        )
    return wanted[0] if len(wanted) == 1 else wanted


def _one(
    root: Path,
    path_text: str,
    rows: pd.DataFrame,
    label_column: str,
    masks: str | None,
    boxes: list[str] | str | None,
    extra: list[str],
    follow_links: bool,
) -> Sample | Skipped:
    """The rows of one image path, as one sample."""
    row: Mapping[str, Any] = rows.iloc[0].to_dict()
    labels = sorted({str(value) for value in rows[label_column]})
    label = labels[0]
    if len(labels) > 1:
        detail = f"listed under several labels: {', '.join(labels)}"
        return Skipped(path_text, "LABEL_CONFLICT", detail, label)
    if "\0" in path_text or not path_text.strip():
        return Skipped(path_text.replace("\0", "?"), "BAD_PATH", "not a path", label)
    path = root / path_text
    mask_text = str(row[masks]).strip() if masks and not pd.isna(row[masks]) else ""
    mask = root / mask_text if mask_text else None
    if not follow_links:
        for what, place in (("image", path), ("mask", mask)):
            if place is not None and not place.resolve().is_relative_to(root.resolve()):
                detail = f"the {what} leads out of dataset.root; allow it with follow_links: true"
                return Skipped(path_text, "OUTSIDE_ROOT", detail, label)
    try:
        found = _boxes(rows, boxes)
    except ValueError as error:
        return Skipped(path_text, "BAD_BOX", str(error), label)
    metadata = {name: None if pd.isna(row[name]) else str(row[name]) for name in extra}
    return Sample(Path(path_text).as_posix(), path, label, mask, found, metadata)


def _boxes(rows: pd.DataFrame, columns: list[str] | str | None) -> tuple[Box, ...]:
    if columns is None:
        return ()
    found: list[Box] = []
    if isinstance(columns, str):
        for text in rows[columns]:
            if isinstance(text, str) and not text.strip():
                continue
            try:
                listed = json.loads(text) if isinstance(text, str) else text
                nested = [listed] if len(listed) == 4 and _is_number(listed[0]) else listed
                found += [_box(values) for values in nested]
            except (TypeError, KeyError, IndexError, ValueError) as error:
                raise ValueError(f"expected [[x0, y0, x1, y1], ...], found {text!r}") from error
    else:
        for values in rows[columns].itertuples(index=False):
            if all(str(value).strip() in ("", "nan") for value in values):
                continue
            try:
                found.append(_box(values))
            except (TypeError, ValueError) as error:
                raise ValueError(f"expected four numbers, found {tuple(values)}") from error
    return tuple(found)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _box(values: Any) -> Box:
    x0, y0, x1, y1 = (float(value) for value in values)
    return (x0, y0, x1, y1)

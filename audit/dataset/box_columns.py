"""Boxes in the columns of a table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from audit.dataset.samples import Box
from audit.dataset.tables import Rows
from audit.errors import DatasetError

BOX_COLUMNS: Mapping[tuple[str, ...], str | None] = {
    ("x_min", "y_min", "x_max", "y_max"): "xyxy",
    ("xmin", "ymin", "xmax", "ymax"): "xyxy",
    ("x0", "y0", "x1", "y1"): "xyxy",
    ("x1", "y1", "x2", "y2"): "xyxy",
    ("x_center", "y_center", "width", "height"): "cxcywh",
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"): "xywh",
    ("x", "y", "width", "height"): "xywh",
    ("x", "y", "w", "h"): "xywh",
    ("boxes_xyxy",): "xyxy",
    ("bbox_xyxy",): "xyxy",
    ("boxes_xywh",): "xywh",
    ("bbox_xywh",): "xywh",
    ("boxes",): None,
    ("bboxes",): None,
    ("bbox",): None,
}
"""Names in use, in small letters, and how boxes under them are written; None: the numbers tell."""

_NONE = ("", "nan", "None", "null")
_DECIMAL_COMMA = re.compile(r"\s*-?\d+,\d+\s*")


def find_box_columns(
    declared: list[str] | str | None, table: Rows
) -> tuple[tuple[int, ...], str | None]:
    """Find the columns of boxes in a table, and how boxes are written in them, if the names tell.

    Raises
    ------
    DatasetError
        Columns are declared that are not there.
    """
    found = {name.lower(): index for index, name in reversed(list(enumerate(table.columns)))}
    if declared is None:
        for names, box_format in BOX_COLUMNS.items():
            if set(names) <= set(found):
                return tuple(found[name] for name in names), box_format
        return (), None
    asked = [declared] if isinstance(declared, str) else list(declared)
    if any(name not in table.columns for name in asked) or len(asked) not in (
        1,
        4,
    ):
        raise DatasetError(
            f"dataset.box_columns: expected one or four columns of {table.name}, found {declared!r}"
        )
    return tuple(table.columns.index(name) for name in asked), None


def read_boxes(values: Sequence[Any]) -> list[Box]:
    """Read the boxes of one row: four numbers, or one list of boxes.

    Raises
    ------
    ValueError
        Saying what was expected and what was found.
    RecursionError
        A list is nested without end.
    """
    if all(value is None or str(value).strip() in _NONE for value in values):
        return []
    if len(values) == 4:
        try:
            return [_box(values)]
        except (TypeError, ValueError) as error:
            raise ValueError(f"expected four numbers, found {tuple(values)}") from error
    (listed,) = values
    try:
        nested = json.loads(listed) if isinstance(listed, str) else listed
        flat = len(nested) == 4 and isinstance(nested[0], (int, float))
        return [_box(box) for box in ([nested] if flat else nested)]
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise ValueError(f"expected [[x0, y0, x1, y1], ...], found {listed!r:.100}") from error


def _box(values: Any) -> Box:
    first, second, third, fourth = (_number(value) for value in values)
    return (first, second, third, fourth)


def _number(value: Any) -> float:
    if isinstance(value, str) and "," in value and _DECIMAL_COMMA.fullmatch(value):
        value = value.replace(",", ".")
    return float(value)

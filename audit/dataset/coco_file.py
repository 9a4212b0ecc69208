"""What a COCO file holds: images, categories, annotations; a million of them in little room."""

from __future__ import annotations

import math
import struct
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit.dataset.json_spans import spans
from audit.dataset.samples import Box, Skipped
from audit.dataset.segments import area_of, is_crowd
from audit.dataset.shapes import number


@dataclass(slots=True)
class CocoObject:
    """One annotation, without its outline: that stays in the file, at `span` (start, length)."""

    category: Hashable
    area: float
    is_crowd: bool
    box: Box | None
    span: tuple[int, int]
    is_outlined: bool


@dataclass(slots=True)
class CocoImage:
    """One image: its name below the folder, and its width and height where they are known."""

    name: str
    size: tuple[int, int] | None


class _Objects:
    """Annotations by image, as bytes: a million Python objects would take a gigabyte."""

    def __init__(self) -> None:
        self.counts: dict[Hashable, int] = {}
        self._records = bytearray()
        self._last: dict[Hashable, int] = {}
        self._kinds: dict[Hashable, int] = {}
        self._known: list[Hashable] = []

    def add(self, image_id: Hashable, one: CocoObject) -> None:
        self.counts[one.category] = self.counts.get(one.category, 0) + 1
        if (kind := self._kinds.setdefault(one.category, len(self._kinds))) == len(self._known):
            self._known.append(one.category)
        # Each record knows where the one before it of the same image is.
        before, here = self._last.get(image_id, -1), len(self._records)
        self._last[image_id] = here
        told = (one.is_crowd, one.is_outlined, one.area, *(one.box or _NO_BOX), *one.span)
        self._records += _FORM.pack(before, kind, *told)

    def take(self, image_id: Hashable) -> list[CocoObject]:
        at, found = self._last.pop(image_id, -1), []
        while at >= 0:
            at, *told = _FORM.unpack_from(self._records, at)
            found.append(self._unpacked(*told))
        return found[::-1]

    def left(self) -> list[Hashable]:
        return list(self._last)

    def _unpacked(
        self, kind: int, crowd: bool, outlined: bool, area: float, *rest: Any
    ) -> CocoObject:
        x0, y0, x1, y1, start, length = rest
        box = None if x0 == math.inf else (x0, y0, x1, y1)
        return CocoObject(self._known[kind], area, crowd, box, (start, length), outlined)


_FORM = struct.Struct("<qi??d4dqq")
_NO_BOX = (math.inf,) * 4
"""What no file holds: a number that is not finite is NaN here."""


@dataclass
class CocoFile:
    """What a file holds.

    Parameters
    ----------
    path : Path
        The file.
    keys : set of str
        Of its outermost object.
    images : dict
        By their ids, in the order of the file.
    categories : dict
        Names by ids.
    skipped : list of Skipped
        Entries that are none.
    """

    path: Path
    keys: set[str] = field(default_factory=set)
    images: dict[Hashable, CocoImage] = field(default_factory=dict)
    categories: dict[Hashable, str] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    _objects: _Objects = field(default_factory=_Objects)
    _sizes: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    @property
    def counts(self) -> Mapping[Hashable, int]:
        """Annotations by category."""
        return self._objects.counts

    def objects_of(self, image_id: Hashable) -> list[CocoObject]:
        """Take the annotations of an image in the order of the file; they are given once."""
        return self._objects.take(image_id)

    def objects_left(self) -> Iterator[tuple[Hashable, int]]:
        """Images whose annotations nobody took, and how many each has."""
        for image_id in self._objects.left():
            yield image_id, len(self._objects.take(image_id))

    def add(self, key: str, value: Any, span: tuple[int, int]) -> None:
        """Take in an element of one of COCO's lists.

        Raises
        ------
        KeyError, TypeError
            It is none.
        """
        if key == "images":
            self._add_image(value)
        elif key == "categories":
            self.categories[value["id"]] = str(value["name"])
        elif key == "annotations":
            self._objects.add(_identity(value["image_id"]), _object(value, span))

    def _add_image(self, value: Mapping[str, object]) -> None:
        name = value["file_name"]
        if not isinstance(name, str):
            raise TypeError("file_name is no text")
        image_id = _identity(value["id"])
        if image_id in self.images:
            self.skipped.append(Skipped(name, "DUPLICATE_ID", f"the id {image_id!r:.40} again"))
            return
        width, height = _side(value.get("width")), _side(value.get("height"))
        # Many images have one size.
        size = (
            self._sizes.setdefault((width, height), (width, height)) if width and height else None
        )
        self.images[image_id] = CocoImage(name, size)


def read_coco_file(path: Path) -> CocoFile:
    """Read all but the outlines.

    Raises
    ------
    DatasetError
        No JSON; the message names line and column.
    """
    found = CocoFile(path)
    for key, value, start, length in spans(path):
        found.keys.add(key)
        try:
            found.add(key, value, (start, length))
        except (KeyError, TypeError) as error:
            detail = f"no {key} of COCO: {type(error).__name__} {error}; found {value!r:.80}"
            found.skipped.append(Skipped(f"{path.name}, byte {start}", "BAD_ENTRY", detail))
    return found


def _side(value: object) -> int | None:
    """A number of pixels; None for everything else that JSON can hold."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _identity(value: object) -> Hashable:
    """What can be a key; a list or mapping in its place is a TypeError."""
    hash(value)
    return value


def _object(value: Mapping[str, object], span: tuple[int, int]) -> CocoObject:
    return CocoObject(
        _identity(value["category_id"]),
        area_of(value),
        is_crowd(value),
        _corners(value.get("bbox")),
        span,
        bool(value.get("segmentation")),
    )


def _corners(box: object) -> Box | None:
    """A box as corners; of NaN where there is one that is none, since an object is there."""
    if not box:
        return None
    numbers = [number(v) for v in box] if isinstance(box, list) else []
    known = [v for v in numbers if v is not None]
    if len(numbers) != 4 or len(known) != 4:
        return (math.nan, math.nan, math.nan, math.nan)
    x, y, width, height = known
    return (x, y, x + width, y + height)

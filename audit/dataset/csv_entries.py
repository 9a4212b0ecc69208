"""The entries of a table of images, and how their boxes are written."""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from audit.dataset.boxes import are_shares, corners, is_share, recognise_format, within_unit
from audit.dataset.samples import Box, Remark, Skipped

_NO_BOXES: array[float] = array("d")
"""Shared, and never added to."""


@dataclass(slots=True)
class Entry:
    """The rows of one image path; small, since there may be millions.

    `path` is "" where it is the sample's id below the root; `boxes` are four numbers each.
    """

    label: str
    path: str
    mask: str
    metadata: dict[str, str | None] | None
    boxes: array[float] = field(default_factory=lambda: _NO_BOXES)
    skipped: Skipped | None = None


def settle_boxes(entries: Mapping[str, Entry], box_format: str | None) -> Iterator[Remark]:
    """Bring all boxes to corners; how they are written is a matter of the whole table.

    Parameters
    ----------
    entries : mapping of str to Entry
        By their ids; changed in place.
    box_format : str or None
        As declared; None: by the numbers.
    """

    def written() -> Iterator[Box]:
        return (box for e in entries.values() for box in boxes_of(e) if _is_finite(box))

    if not any(True for _ in written()):
        return
    chosen = box_format
    if chosen is None:
        chosen, remark = recognise_format(written())
        if remark:
            yield Remark(remark)
    shares, remark = are_shares(written())
    if remark:
        yield Remark(remark)
    for text, entry in entries.items():
        own = list(boxes_of(entry))
        odd = shares and not all(is_share(box) for box in own if _is_finite(box))
        own = [corners(box, chosen) for box in own]
        if shares and not odd:
            own = [within_unit(box) for box in own]
        odd |= not shares and any(min(box) >= 0 and max(box) <= 1 for box in own)
        entry.boxes = flat(own)
        if odd:
            few, many = ("beyond", "shares") if shares else ("within", "pixels")
            detail = f"a box {few} 0..1 in a table of boxes in {many}"
            entry.skipped = entry.skipped or Skipped(text, "BAD_BOX", detail, entry.label)


def _is_finite(box: Box) -> bool:
    return all(map(math.isfinite, box))


def boxes_of(entry: Entry) -> Iterator[Box]:
    """The boxes of an entry."""
    numbers = iter(entry.boxes)
    return zip(numbers, numbers, numbers, numbers, strict=True)


def flat(boxes: Sequence[Box]) -> array[float]:
    """Boxes as an entry holds them."""
    return array("d", itertools.chain.from_iterable(boxes)) if boxes else _NO_BOXES

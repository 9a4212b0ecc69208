"""Boxes: the ways in which they are written, and the foreground that they fill."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from audit.dataset.decoding import MAX_PIXELS
from audit.dataset.outlines import Outline
from audit.dataset.samples import Box, Sample
from audit.errors import SampleError

BOX_FORMATS = ("xyxy", "xywh", "cxcywh")
"""Corners; corner, width and height (COCO); centre, width and height (YOLO)."""
_SURELY = 0.1
"""Share of boxes that cannot be corners, from which none are; fewer are mistakes."""


def corners(values: Sequence[float], box_format: str) -> Box:
    """Bring one box to (x0, y0, x1, y1).

    Examples
    --------
    >>> corners((20, 10, 60, 40), "xywh")
    (20, 10, 80, 50)
    >>> corners((50, 30, 60, 40), "cxcywh")
    (20.0, 10.0, 80.0, 50.0)
    """
    x, y, third, fourth = values
    if box_format == "xyxy":
        return (x, y, third, fourth)
    if box_format == "cxcywh":
        x, y = x - third / 2, y - fourth / 2
    return (x, y, x + third, y + fourth)


def recognise_format(boxes: Iterable[Box]) -> tuple[str, str]:
    """Tell corners from corner, width and height by the numbers of a whole dataset.

    Parameters
    ----------
    boxes : iterable of four numbers each
        As written.

    Returns
    -------
    str, str
        ``xyxy`` or ``xywh``; and a remark for people, or "".
    """
    total = few = sized = 0
    for x0, y0, x1, y1 in boxes:
        total += 1
        if not (x1 > x0 and y1 > y0):
            few += 1
            sized += x1 > 0 and y1 > 0
    if not few:
        return "xyxy", ""
    doubt = f"x1 <= x0 or y1 <= y0 in {few} of {total} boxes"
    if few > _SURELY * total and sized > few / 2:
        return "xywh", (
            f"{doubt}, so boxes are taken as [x, y, width, height]; "
            "dataset.box_format: xyxy | xywh | cxcywh says otherwise"
        )
    return "xyxy", f"{doubt}; boxes are taken as [x0, y0, x1, y1], and those are empty"


def is_share(box: Box) -> bool:
    """Whether a box, as written, lies within 0..1, but for rounding."""
    return all(-0.01 <= v <= 1.01 for v in box)


def are_shares(boxes: Iterable[Box]) -> tuple[bool, str]:
    """Tell shares of the pictures' sides from pixels by the boxes of a whole dataset.

    Parameters
    ----------
    boxes : iterable of four numbers each
        As written; finite.

    Returns
    -------
    bool, str
        Whether they are shares; and a remark for people, or "".
    """
    total = within = 0
    for box in boxes:
        total += 1
        within += is_share(box)
    if within < (1 - _SURELY) * total or not within:
        return False, ""
    few = f"{within} of {total}" if within < total else "all"
    return True, f"{few} boxes lie within 0..1: taken as shares of the sides, not as pixels"


def within_unit(box: Box) -> Box:
    """Clip a box of shares, so that it can be told from one of pixels."""
    x0, y0, x1, y1 = (min(max(v, 0.0), 1.0) for v in box)
    return (x0, y0, x1, y1)


def bounding_box(sample: Sample, *, size: tuple[int, int], margin: float = 0.0) -> Outline:
    """Fill the sample's boxes.

    Parameters
    ----------
    sample : Sample
        Its `boxes` in pixels; or, where they lie within 0..1, in shares of the sides. Parts
        outside the image are cut off, and the row says so.
    size : (H0, W0)
        Of the image. Where the annotation says on which size its boxes were drawn, the outline has
        that one, so that a picture of another size is noticed.
    margin : float
        Added on each side, as a share of the box's own side.

    Raises
    ------
    SampleError
        There is no box, or none with an area inside the image.
    """
    if not sample.boxes:
        raise SampleError("NO_BOX", "the dataset has no box for this image")
    annotation = sample.annotation
    drawn_on = annotation.size if annotation else None
    height, width = size if drawn_on is None else drawn_on[::-1]
    if height * width > MAX_PIXELS:
        raise SampleError("MASK_SIZE", f"the annotation says {width} x {height} pixels")
    mask = np.zeros((height, width), dtype=bool)
    empty = over = False
    for x0, y0, x1, y1 in _in_pixels(sample, (height, width)):
        dx, dy = margin * (x1 - x0), margin * (y1 - y0)
        left, right = (int(np.clip(round(v), 0, width)) for v in (x0 - dx, x1 + dx))
        top, bottom = (int(np.clip(round(v), 0, height)) for v in (y0 - dy, y1 + dy))
        mask[top:bottom, left:right] = True
        empty |= right <= left or bottom <= top
        over |= x0 < -1 or y0 < -1 or x1 > width + 1 or y1 > height + 1
    if not mask.any():
        raise SampleError("EMPTY_BOX", "no box has an area inside the image")
    notes = ("BOX_CLIPPED",) * over + ("BOX_EMPTY",) * empty
    return Outline(mask, notes, has_own_size=drawn_on is not None)


def _in_pixels(sample: Sample, size: tuple[int, int]) -> list[Box]:
    height, width = size
    found = []
    for box in sample.boxes:
        if not all(math.isfinite(value) for value in box):
            raise SampleError("BOX_NOT_FINITE", f"box {box}")
        x0, y0, x1, y1 = box
        if min(box) >= 0 and max(box) <= 1:
            x0, x1, y0, y1 = x0 * width, x1 * width, y0 * height, y1 * height
        found.append((x0, y0, x1, y1))
    return found

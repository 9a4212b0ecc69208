"""Outlines from annotation files: polygons and run lengths, held against their bounds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from audit.dataset.decoding import MAX_PIXELS
from audit.dataset.image_bytes import check_file
from audit.dataset.mask_pixels import read_mask
from audit.dataset.outlines import BACKGROUND, FOREGROUND, IGNORED, Outline
from audit.dataset.samples import Annotation, Sample
from audit.dataset.shapes import Size, decode_runs, fill_polygon, number
from audit.errors import SampleError

_LARGEST = 64 * 2**20
_VOC_BORDER = (224, 224, 192)


def coco_segments(
    sample: Sample, *, size: tuple[int, int], instances: str = "all", crowd: str = "ignore"
) -> Outline:
    """Fill the segments that a COCO file has for the sample's class.

    Parameters
    ----------
    sample : Sample
        From the reader ``coco``.
    size : (H0, W0)
        Of the image; taken where the annotation does not say its picture's size.
    instances : str
        ``all``: every object of the class; ``largest``: the one with the largest area.
    crowd : str
        What a crowd region is: ``ignore``: it belongs to neither side; ``object``: to the object.

    Raises
    ------
    SampleError
        There is no segment, or one that cannot be: run lengths that do not add up, points that
        are no numbers or far outside.
    """
    annotation = _annotation(sample, "coco_segments")
    height, width = size if annotation.size is None else annotation.size[::-1]
    _check_size((height, width))
    objects = [_json(part) for part in read_spans(annotation)]
    single = [one for one in objects if not is_crowd(one)]
    if instances == "largest" and single:
        single = [max(single, key=lambda one: area_of(one))]
    mask = np.full((height, width), BACKGROUND, np.uint8)
    for one in objects:
        if is_crowd(one):
            filled = _segment(one, (height, width))
            mask[filled] = IGNORED if crowd == "ignore" else FOREGROUND
    for one in single:
        mask[_segment(one, (height, width))] = FOREGROUND
    if not (mask == FOREGROUND).any():
        raise SampleError("EMPTY_SEGMENT", "no segment covers a pixel of the image")
    return Outline(mask, has_own_size=annotation.size is not None)


def yolo_polygons(sample: Sample, *, size: tuple[int, int]) -> Outline:
    """Fill the polygons that a YOLO label file has for the sample's class.

    Parameters
    ----------
    sample : Sample
        From the reader ``yolo``; its label file holds polygons, not boxes alone.
    size : (H0, W0)
        Of the image.

    Raises
    ------
    SampleError
        There is no polygon, or one that cannot be.
    """
    height, width = size
    mask = np.zeros(size, bool)
    for part in read_spans(_annotation(sample, "yolo_polygons")):
        try:
            numbers = [float(text) for text in part.split()[1:]]
        except ValueError as error:
            raise SampleError("BAD_SEGMENT", f"not numbers: {part[:80]!r}") from error
        scaled = [v * (height if i % 2 else width) for i, v in enumerate(numbers)]
        mask |= fill_polygon(scaled, size)
    if not mask.any():
        raise SampleError("EMPTY_SEGMENT", "no polygon covers a pixel of the image")
    return Outline(mask, has_own_size=False)


def voc_segments(sample: Sample, *, border: str = "ignore") -> Outline:
    """Read the pixels of the sample's class from a segmentation image of PASCAL VOC.

    Parameters
    ----------
    sample : Sample
        From the reader ``voc``.
    border : str
        What the border around objects (255) is: ``ignore``: it belongs to neither side;
        ``object``: to the object.

    Raises
    ------
    SampleError
        There is no segmentation image, it cannot be read, or has no pixel of the class.
    """
    annotation = _annotation(sample, "voc_segments")
    if not annotation.path.exists():
        raise SampleError("NO_SEGMENT", f"no segmentation image {annotation.path.name}")
    pixels = read_mask(annotation.path)
    index, *colour = annotation.values
    # Numbers of classes in grey or in a palette of another's, or the classes' colours.
    inside, around = pixels.stored == index, pixels.stored == 255
    if pixels.colours is not None and (by_colour := (pixels.colours == colour).all(-1)).any():
        inside, around = by_colour, (pixels.colours == _VOC_BORDER).all(-1)
    if not inside.any():
        raise SampleError("EMPTY_SEGMENT", f"no pixel of the class {sample.label_name}")
    mask = np.where(inside, FOREGROUND, BACKGROUND).astype(np.uint8)
    mask[around] = IGNORED if border == "ignore" else FOREGROUND
    return Outline(mask)


def read_spans(annotation: Annotation) -> list[bytes]:
    """Read a sample's parts of its annotation file."""
    check_file(annotation.path)
    if sum(length for _, length in annotation.spans) > _LARGEST:
        raise SampleError("TOO_MANY_BYTES", f"its annotations have more than {_LARGEST} bytes")
    with annotation.path.open("rb") as opened:
        parts = []
        for start, length in annotation.spans:
            opened.seek(start)
            parts.append(opened.read(length))
        return parts


def area_of(one: Mapping[str, object]) -> float:
    """Area of a COCO annotation in pixels: as it says, else of its box; 0 where neither is."""
    area, box = number(one.get("area")), one.get("bbox")
    if area is not None and area > 0:
        return area
    sides = [number(v) for v in box[2:4]] if isinstance(box, list) else []
    if len(sides) == 2 and sides[0] is not None and sides[1] is not None:
        return max(sides[0], 0.0) * max(sides[1], 0.0)
    return 0.0


def is_crowd(one: Mapping[str, object]) -> bool:
    """Whether a COCO annotation covers a crowd; some tools write the number as text."""
    return one.get("iscrowd") in (1, "1", "true", "True")


def _segment(one: Mapping[str, object], size: Size) -> NDArray[np.bool_]:
    """The pixels of one COCO annotation."""
    segment = one.get("segmentation")
    if isinstance(segment, dict):
        declared = segment.get("size")
        if declared != list(size):
            raise SampleError("MASK_SIZE", f"run lengths of {declared!r:.60}, a picture of {size}")
        return decode_runs(segment.get("counts") or [], size)
    if not isinstance(segment, list) or not segment:
        raise SampleError("NO_SEGMENT", "the annotation has no segmentation")
    polygons: Iterable[object] = segment if isinstance(segment[0], list) else [segment]
    mask = np.zeros(size, bool)
    for polygon in polygons:
        if not isinstance(polygon, list):
            raise SampleError("BAD_SEGMENT", f"expected a list of numbers, found {polygon!r:.60}")
        mask |= fill_polygon(polygon, size)
    return mask


def _annotation(sample: Sample, source: str) -> Annotation:
    if sample.annotation is None or sample.annotation.source != source:
        raise SampleError("NO_SEGMENT", "the dataset has no outline for this image")
    return sample.annotation


def _json(part: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(part)
    except (ValueError, RecursionError) as error:
        raise SampleError("CHANGED_DURING_RUN", f"the annotation is no JSON ({error})") from error
    if not isinstance(found, dict):
        raise SampleError("BAD_SEGMENT", f"expected an object, found {found!r:.60}")
    return found


def _check_size(size: Size) -> None:
    if not size[0] * size[1] <= MAX_PIXELS or min(size) < 1:
        raise SampleError("MASK_SIZE", f"the annotation says {size[1]} x {size[0]} pixels")

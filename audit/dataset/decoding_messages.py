"""What parent and decoding child say to each other: a line of JSON each.

Imports no torch, as nothing does that the child imports.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from audit.dataset.outline_store import OutlineStoreJson
from audit.dataset.samples import Annotation, AnnotationJson, Sample
from audit.geometry import Geometry


class GeometryFields(TypedDict):
    """Of :class:`~audit.geometry.Geometry`, by their names."""

    size: int
    resize: int | None
    crop: str
    interpolation: str


class Setup(TypedDict):
    """The first message: what a child must know before its first image."""

    geometry: GeometryFields
    source: str
    options: Mapping[str, object]
    """As the manifest writes them; paths are text."""
    folder: str
    import_path: Sequence[str]
    outlines: OutlineStoreJson | None
    widened: int
    pixels: int
    """Descriptor of the memory for image and mask; see :mod:`audit.dataset.shared_pixels`."""


class Request(TypedDict):
    """Every further message: one sample; paths as the file system has them, in hexadecimals."""

    sample_id: str
    path: str
    label_name: str
    mask: str
    boxes: Sequence[Sequence[float]]
    metadata: Mapping[str, object]
    annotation: AnnotationJson | None
    member: Sequence[str | int]
    foreground_stamp: Sequence[int] | None
    sha256: str
    unchanged_since: Sequence[int] | None


class Answer(TypedDict):
    """What comes back: one of four kinds, told by the key that it has."""

    failed: NotRequired[str]
    """The setup is wrong: a sentence."""
    ready: NotRequired[bool]
    reason: NotRequired[str]
    """The sample cannot be used: the code, and beside it `detail`."""
    detail: NotRequired[str]
    sha256: NotRequired[str]
    """The sample was decoded: image and mask lie in the shared memory. Beside it `notes`,
    `foreground_problem` and `has_foreground`."""
    notes: NotRequired[Sequence[str]]
    foreground_problem: NotRequired[str]
    has_foreground: NotRequired[bool]


def fields_of(geometry: Geometry) -> GeometryFields:
    """A geometry as JSON values."""
    return {
        "size": geometry.size,
        "resize": geometry.resize,
        "crop": geometry.crop,
        "interpolation": geometry.interpolation,
    }


def request_of(sample: Sample, since: tuple[int, int] | None) -> Request:
    """Ask for a sample, whose file had this size and mtime_ns when the run began."""
    return {
        "sample_id": sample.sample_id,
        "path": os.fsencode(sample.path).hex(),
        "label_name": sample.label_name,
        "mask": os.fsencode(sample.mask).hex() if sample.mask else "",
        "boxes": sample.boxes,
        "metadata": sample.metadata,
        "annotation": sample.annotation.to_json() if sample.annotation else None,
        "member": sample.member,
        "foreground_stamp": sample.foreground_stamp,
        "sha256": sample.sha256,
        "unchanged_since": since,
    }


def sample_in(request: Request) -> Sample:
    """The sample that :func:`request_of` asked for."""
    annotation = request["annotation"]
    return Sample(
        sample_id=request["sample_id"],
        path=_path(request["path"]),
        label_name=request["label_name"],
        mask=_path(request["mask"]) if request["mask"] else None,
        boxes=tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in request["boxes"]),
        metadata=request["metadata"],
        annotation=Annotation.from_json(annotation) if annotation else None,
        member=tuple(request["member"]),
        foreground_stamp=stamp_in(request["foreground_stamp"]),
        sha256=request["sha256"],
    )


def stamp_in(stamp: Sequence[int] | None) -> tuple[int, int] | None:
    """A pair of size and mtime_ns, which JSON has made a list of."""
    return (stamp[0], stamp[1]) if stamp else None


def _path(digits: str) -> Path:
    return Path(os.fsdecode(bytes.fromhex(digits)))

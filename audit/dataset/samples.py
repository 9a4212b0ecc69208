"""The unit of an audit: one labelled image, by reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

Box = tuple[float, float, float, float]


class AnnotationJson(TypedDict):
    """An :class:`Annotation` as JSON values."""

    source: str
    path: str
    spans: Sequence[Sequence[int]]
    values: Sequence[int]
    size: Sequence[int] | None


@dataclass(frozen=True, slots=True)
class Annotation:
    """Where a sample's outlines are written; by reference, since a dataset's are many times larger.

    Parameters
    ----------
    source : str
        The key of :data:`audit.dataset.foregrounds.FOREGROUNDS` that reads it.
    path : Path
        The file.
    spans : tuple of (start, length)
        The bytes of it that are this sample's; none: the whole file.
    values : tuple of int
        The pixel value of the sample's class, or its colour, where the file is an image.
    size : (width, height) or None
        Of the picture that the outlines were drawn on, where the annotation says it.
    """

    source: str
    path: Path
    spans: tuple[tuple[int, int], ...] = ()
    values: tuple[int, ...] = ()
    size: tuple[int, int] | None = None

    def to_json(self) -> AnnotationJson:
        """As JSON values."""
        return {
            "source": self.source,
            "path": str(self.path),
            "spans": self.spans,
            "values": self.values,
            "size": self.size,
        }

    @classmethod
    def from_json(cls, content: AnnotationJson) -> Annotation:
        """As :meth:`to_json` gave it."""
        return cls(
            content["source"],
            Path(content["path"]),
            tuple((start, length) for start, length in content["spans"]),
            tuple(content["values"]),
            (size[0], size[1]) if (size := content["size"]) else None,
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image; nothing of it is decoded yet.

    Parameters
    ----------
    sample_id : str
        Unique in the dataset and stable between runs: the path below the root.
    path : Path
        The image file, absolute.
    label_name : str
        The class it is labelled with.
    mask : Path or None
        Its foreground mask, where the reader knows of one.
    boxes : tuple of (x0, y0, x1, y1)
        Its foreground boxes in pixels of the stored image, or, within 0..1, in shares of its
        sides; where the reader knows of some.
    metadata : mapping
        Further columns of the dataset (group, camera, ...), JSON values only.
    annotation : Annotation, optional
        Where its outlines are written, where the reader knows of some.
    member : tuple of str and int
        Which part of `path` the image is, where that holds many; see :mod:`audit.dataset.members`.
    foreground_stamp : (size, mtime_ns) or None
        What the files of its foreground were when the run began.
    sha256 : str
        Of the image's bytes when the run began; "" where that is not known.
    """

    sample_id: str
    path: Path
    label_name: str
    mask: Path | None = None
    boxes: tuple[Box, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    annotation: Annotation | None = None
    member: tuple[str | int, ...] = ()
    foreground_stamp: tuple[int, int] | None = None
    sha256: str = ""


@dataclass(frozen=True)
class Skipped:
    """Something that a reader found and did not make a sample of; a row in ``problems.csv``.

    Parameters
    ----------
    path : str
        Below the root.
    reason : str
        A code such as ``OUTSIDE_ROOT``.
    detail : str
        A sentence for people.
    label_name : str
        The class it would have belonged to, or "".
    """

    path: str
    reason: str
    detail: str
    label_name: str = ""


@dataclass(frozen=True)
class Remark:
    """What a reader decided by itself and a person should know, such as how boxes are written.

    Parameters
    ----------
    text : str
        A sentence.
    """

    text: str

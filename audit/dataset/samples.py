"""The unit of an audit: one labelled image, by reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Box = tuple[float, float, float, float]


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
    metadata : dict
        Further columns of the dataset (group, camera, ...), JSON values only.
    """

    sample_id: str
    path: Path
    label_name: str
    mask: Path | None = None
    boxes: tuple[Box, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)


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

"""Where the object is: one function per source of foregrounds.

A foreground is a bool array ``(H0, W0)``, True on the object; or uint8 with 0 background,
1 foreground, 255 neither; or an :class:`~audit.dataset.outlines.Outline` with notes; or None where
there is none. The option ``drawn_on`` of every source says whether it lies on the stored or on the
upright picture. A size that differs from the image is an error, never a silent resize.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from audit.dataset.boxes import bounding_box, box_notes
from audit.dataset.masks import check_mask_options, mask_file
from audit.dataset.outlines import DRAWN_ON, Foreground
from audit.errors import ManifestError
from audit.plugins import bind, resolve

FOREGROUNDS: Mapping[str, Callable[..., Any]] = {
    "mask_file": mask_file,
    "bounding_box": bounding_box,
}


def chosen_source(source: str | None, *, masks: bool, boxes: bool) -> str:
    """Which source is meant: the declared one, or what the samples themselves carry.

    Parameters
    ----------
    source : str or None
        As declared.
    masks, boxes : bool
        Whether any sample has one.

    Raises
    ------
    ManifestError
        Boxes are asked for and no sample has one.
    """
    if source is None:
        if masks:
            return "mask_file"
        return "bounding_box" if boxes else "none"
    if source == "bounding_box" and not boxes:
        raise ManifestError(
            "foreground.source: bounding_box needs boxes from the reader, and no sample has one. "
            "Use dataset.reader: csv_index with box columns, or foreground.source: mask_file."
        )
    return source


def open_foreground(source: str, options: Mapping[str, Any], folder: Path) -> Foreground | None:
    """Find the function of a source and fix its options.

    Parameters
    ----------
    source : str
        ``none``, a key of :data:`FOREGROUNDS`, or ``"package.module:function"``.
    options : mapping
        As written in the manifest; `root` is resolved against `folder`. Every source knows
        ``drawn_on: upright | stored``: which picture the outlines lie on where EXIF turns it.
    folder : Path
        Of the manifest.

    Returns
    -------
    Foreground or None
        None for ``none``.

    Raises
    ------
    ManifestError
        Unknown source or option.
    """
    if source == "none":
        return None
    function = resolve(source, FOREGROUNDS, key="foreground.source", folder=folder)
    chosen = dict(options)
    drawn_on = chosen.pop("drawn_on", None)
    if drawn_on not in (None, *DRAWN_ON):
        expected = " | ".join(DRAWN_ON)
        raise ManifestError(f"foreground.drawn_on: expected {expected}, found {drawn_on!r}")
    if "root" in chosen:
        chosen["root"] = (folder / str(chosen["root"])).expanduser().resolve()
        if not chosen["root"].is_dir():
            raise ManifestError(f"foreground.root: no such folder: {options['root']}")
    bound = bind(function, chosen, key="foreground")
    if source == "mask_file":
        check_mask_options(chosen)
    notes = box_notes if source == "bounding_box" else None
    if "size" in inspect.signature(function).parameters:
        return Foreground(lambda sample, size: bound(sample, size=size), drawn_on, True, notes)
    return Foreground(lambda sample, size: bound(sample), drawn_on)

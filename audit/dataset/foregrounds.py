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

from audit.dataset.boxes import bounding_box
from audit.dataset.estimated import check_estimated_options, estimated
from audit.dataset.masks import check_mask_options, mask_file, mask_files
from audit.dataset.outline_store import OutlineStore
from audit.dataset.outlines import DRAWN_ON, Foreground, no_files, own_files
from audit.dataset.samples import Sample
from audit.dataset.segments import coco_segments, voc_segments, yolo_polygons
from audit.declared import declared_path
from audit.errors import ManifestError
from audit.plugins import bind, resolve

FOREGROUNDS: Mapping[str, Callable[..., Any]] = {
    "mask_file": mask_file,
    "bounding_box": bounding_box,
    "coco_segments": coco_segments,
    "voc_segments": voc_segments,
    "yolo_polygons": yolo_polygons,
    "estimated": estimated,
}


_NEEDS = {"coco_segments": "coco", "voc_segments": "voc", "yolo_polygons": "yolo"}


def chosen_source(
    source: str | None, *, masks: bool, boxes: bool, outlines: str | None = None
) -> str:
    """Which source is meant: the declared one, or what the samples themselves carry.

    Parameters
    ----------
    source : str or None
        As declared.
    masks, boxes : bool
        Whether any sample has one.
    outlines : str, optional
        The source of the samples' annotations, where any has one.

    Raises
    ------
    ManifestError
        Boxes or outlines are asked for and no sample has one.
    """
    if source is None:
        if masks:
            return "mask_file"
        if outlines:
            return outlines
        return "bounding_box" if boxes else "none"
    if source == "bounding_box" and not boxes:
        raise ManifestError(
            "foreground.source: bounding_box needs boxes from the reader, and no sample has one. "
            "Use dataset.reader: csv_index with box columns, or foreground.source: mask_file."
        )
    if source in _NEEDS and outlines != source:
        raise ManifestError(
            f"foreground.source: {source} needs outlines from dataset.reader: {_NEEDS[source]}, "
            "and no sample has one. Take that reader, or another source: mask_file, bounding_box, "
            "estimated, none."
        )
    return source


def open_foreground(
    source: str, options: Mapping[str, object], folder: Path, outlines: OutlineStore | None = None
) -> Foreground | None:
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
    outlines : OutlineStore, optional
        Where estimated outlines lie; a source that has such a parameter is given it.

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
        chosen["root"] = root = declared_path(folder, str(chosen["root"]), "foreground.root")
        if not root.is_dir():
            raise ManifestError(
                f"foreground.root: no such folder: {options['root']}. Write that of the masks, "
                "relative to the manifest."
            )
    bound = bind(function, chosen, key="foreground", given={"outlines": outlines})
    files: Callable[[Sample], list[Path]] = own_files
    if source == "mask_file":
        check_mask_options(chosen)
        named = {
            str(name): chosen[name] for name in ("root", "pattern", "suffix") if name in chosen
        }
        files = bind(mask_files, named, key="foreground")
    elif source == "bounding_box":
        files = no_files
    elif source == "estimated":
        check_estimated_options(options)
        # Networks are shown the upright picture; a sample's own masks are not read.
        drawn_on, files = "upright", no_files
    accepted = {"size", "digest"} & set(inspect.signature(function).parameters)

    def ask(sample: Sample, size: tuple[int, int], digest: str) -> Any:
        known = {"size": size, "digest": digest}
        return bound(sample, **{name: known[name] for name in accepted})

    return Foreground(ask, drawn_on, "size" in accepted, files)

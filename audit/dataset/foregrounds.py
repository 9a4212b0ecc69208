"""Where the object is: one function per source of foregrounds.

A foreground is a bool array ``(H0, W0)`` in the coordinates of the stored image, True on the
object; or uint8 with 0 background, 1 foreground, 255 neither; or None where there is none.
A size that differs from the image is an error, never a silent resize.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.dataset.decoding import open_image, read_bytes
from audit.dataset.loading import BACKGROUND, FOREGROUND, IGNORED
from audit.dataset.samples import Sample
from audit.errors import ManifestError, SampleError
from audit.plugins import bind, resolve

ForegroundFunction = Callable[[Sample, tuple[int, int]], Any]


def mask_file(
    sample: Sample,
    *,
    root: Path | None = None,
    suffix: str = ".png",
    values: int | Sequence[int] | None = None,
    ignore: int | None = None,
    inverted: bool = False,
) -> NDArray[np.uint8] | None:
    """Read a mask from an image file.

    Parameters
    ----------
    sample : Sample
        Its own `mask` is taken where it has one; else ``root / sample_id`` with `suffix`.
    root : Path, optional
        Folder of the masks, laid out like the images.
    suffix : str
        Ending of the mask files.
    values : int or sequence of int, optional
        Pixel values of the object; None: all that are not 0.
    ignore : int, optional
        Pixel value that belongs to neither side.
    inverted : bool
        The file marks the background.

    Raises
    ------
    SampleError
        The mask is missing or cannot be decoded.
    """
    path = sample.mask
    if path is None:
        if root is None:
            raise SampleError("NO_MASK", "the dataset names no mask, and foreground.root is unset")
        path = root / Path(sample.sample_id).with_suffix(suffix)
    if not path.exists():
        raise SampleError("NO_MASK", f"no mask file {path.name}")
    try:
        image = open_image(read_bytes(path))
        image.load()
    except SampleError as error:
        raise SampleError(f"MASK_{error.reason}", error.detail) from error
    except Exception as error:
        raise SampleError("MASK_DATA_CORRUPT", f"{type(error).__name__}: {error}") from error
    pixels = np.asarray(image)
    if image.mode in ("RGB", "RGBA"):
        pixels = pixels[..., :3].max(axis=-1)
    elif image.mode == "LA":
        pixels = pixels[..., 0]
    inside = pixels != 0 if values is None else np.isin(pixels, np.atleast_1d(values))
    mask = np.where(inside != inverted, FOREGROUND, BACKGROUND).astype(np.uint8)
    if ignore is not None:
        mask[pixels == ignore] = IGNORED
    return mask


def bounding_box(
    sample: Sample, *, size: tuple[int, int], margin: float = 0.0
) -> NDArray[np.bool_] | None:
    """Fill the sample's boxes.

    Parameters
    ----------
    sample : Sample
        Its `boxes` in pixels of the stored image; parts outside the image are cut off.
    size : (H0, W0)
        Of the stored image.
    margin : float
        Added on each side, as a share of the box's own side.

    Raises
    ------
    SampleError
        There is no box, or none with an area inside the image.
    """
    if not sample.boxes:
        raise SampleError("NO_BOX", "the dataset has no box for this image")
    height, width = size
    mask = np.zeros(size, dtype=bool)
    for x0, y0, x1, y1 in sample.boxes:
        if not np.isfinite([x0, y0, x1, y1]).all():
            raise SampleError("BOX_NOT_FINITE", f"box {(x0, y0, x1, y1)}")
        dx, dy = margin * (x1 - x0), margin * (y1 - y0)
        left, right = (int(np.clip(round(v), 0, width)) for v in (x0 - dx, x1 + dx))
        top, bottom = (int(np.clip(round(v), 0, height)) for v in (y0 - dy, y1 + dy))
        if right > left and bottom > top:
            mask[top:bottom, left:right] = True
    if not mask.any():
        raise SampleError("EMPTY_BOX", "no box has an area inside the image")
    return mask


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


def open_foreground(
    source: str, options: Mapping[str, Any], folder: Path
) -> ForegroundFunction | None:
    """Find the function of a source and fix its options.

    Parameters
    ----------
    source : str
        ``none``, a key of :data:`FOREGROUNDS`, or ``"package.module:function"``.
    options : mapping
        As written in the manifest; `root` is resolved against `folder`.
    folder : Path
        Of the manifest.

    Returns
    -------
    callable or None
        Takes a sample and the size ``(H0, W0)`` of its stored image; None for ``none``.

    Raises
    ------
    ManifestError
        Unknown source or option.
    """
    if source == "none":
        return None
    function = resolve(source, FOREGROUNDS, key="foreground.source")
    chosen = dict(options)
    if "root" in chosen:
        chosen["root"] = (folder / str(chosen["root"])).expanduser().resolve()
        if not chosen["root"].is_dir():
            raise ManifestError(f"foreground.root: no such folder: {options['root']}")
    bound = bind(function, chosen, key="foreground")
    if "size" in inspect.signature(function).parameters:
        return lambda sample, size: bound(sample, size=size)
    return lambda sample, size: bound(sample)

"""Masks in image files: what a person sees in the file is what counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.dataset.mask_pixels import VOC_BORDER, Kind, MaskPixels, kind_of, read_mask
from audit.dataset.outlines import BACKGROUND, FOREGROUND, IGNORED, Outline
from audit.dataset.samples import Sample
from audit.errors import SampleError

_Marked = tuple[NDArray[np.bool_], list[str], SampleError | None]
"""Where the file marks something, notes, and why that cannot be used."""

_LIKE_A_PHOTOGRAPH = SampleError(
    "MASK_LIKE_A_PHOTOGRAPH",
    "the grey values lie all over the range: is foreground.root the folder of the masks? "
    "foreground.threshold or foreground.values take such files as they are",
)


def mask_file(
    sample: Sample,
    *,
    root: Path | None = None,
    suffix: str = ".png",
    values: int | Sequence[int] | None = None,
    ignore: int | Sequence[int] | None = None,
    inverted: bool = False,
    channel: str | None = None,
    threshold: float | None = None,
) -> Outline:
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
        Pixel values of the object, as stored: in a palette file its indices. None: everything
        that is neither black nor transparent.
    ignore : int or sequence of int, optional
        Pixel values that belong to neither side, such as the border of a trimap; None: the border
        of PASCAL VOC's palette.
    inverted : bool
        The file marks the background.
    channel : str, optional
        ``alpha``: what is not transparent is the object; ``colour``: transparency is left aside;
        None: the transparency where there is any, unless black and one other colour lie in it.
    threshold : float, optional
        Brightness from which a pixel is the object: below 1 a share of the brightest pixel's, else
        in the file's own units. None: half of the brightest where the file is black and white with
        soft edges or the halo of a JPEG (the row says so); else everything that is not black.

    Raises
    ------
    SampleError
        The mask is missing, cannot be decoded, or does not say what the object is.
    """
    path = sample.mask
    if path is None:
        if root is None:
            raise SampleError("NO_MASK", "the dataset names no mask, and foreground.root is unset")
        path = root / Path(sample.sample_id).with_suffix(suffix)
    if not path.exists():
        raise SampleError("NO_MASK", f"no mask file {path.name}")
    pixels = read_mask(path)
    inside, notes, problem = _inside(pixels, values, channel, threshold)
    if values is None and inside.all():
        problem = problem or _without_background(pixels)
    mask = np.where(inside != inverted, FOREGROUND, BACKGROUND).astype(np.uint8)
    if ignore is not None:
        mask[pixels.are(ignore)] = IGNORED
    elif pixels.has_border and (pixels.stored == VOC_BORDER).any():
        mask[pixels.stored == VOC_BORDER] = IGNORED
        notes.append("MASK_BORDER_IGNORED")
    return Outline(mask, tuple(notes), problem=problem)


def _inside(
    pixels: MaskPixels,
    values: int | Sequence[int] | None,
    channel: str | None,
    threshold: float | None,
) -> _Marked:
    """Tell where the file marks something, and what has to be known of that."""
    if channel == "alpha" and pixels.alpha is None:
        raise SampleError("MASK_NO_ALPHA", "foreground.channel is alpha; nothing is transparent")
    if values is not None:
        # A soft edge has few pixels of exactly 255.
        bright = np.min(values) >= pixels.seen.max() / 2
        if bright and kind_of(pixels.seen, pixels.lossy) is Kind.SOFT:
            return _bright(pixels.seen, 0.5), ["MASK_THRESHOLDED"], None
        return pixels.are(values), [], None
    if pixels.alpha is None or channel == "colour":
        return _marked(pixels.seen, pixels.lossy, threshold)
    visible, notes, problem = _marked(pixels.alpha, False, threshold)
    colours = np.unique(pixels.seen[visible])
    if channel == "alpha" or len(colours) != 2 or colours[0] != 0:
        return visible, notes, problem
    return visible & (pixels.seen != 0), notes, problem


def _marked(shown: NDArray[Any], lossy: bool, threshold: float | None) -> _Marked:
    """Tell where a picture is not black, or bright enough where it has soft edges."""
    if threshold is not None:
        return _bright(shown, threshold), [], None
    kind = kind_of(shown, lossy)
    if kind is Kind.SOFT:
        return _bright(shown, 0.5), ["MASK_THRESHOLDED"], None
    return shown != 0, [], _LIKE_A_PHOTOGRAPH if kind is Kind.PHOTOGRAPH else None


def _bright(shown: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    level = threshold * float(shown.max()) if threshold < 1 else threshold
    bright: NDArray[np.bool_] = (shown >= level) & (shown != 0)
    return bright


def _without_background(pixels: MaskPixels) -> SampleError | None:
    numbers = np.unique(pixels.stored)
    if len(numbers) == 1:
        return None
    listed = ", ".join(map(str, numbers[:5].tolist())) + (", ..." if len(numbers) > 5 else "")
    return SampleError(
        "MASK_WITHOUT_BACKGROUND",
        f"no pixel is black, and the values are {listed}: a trimap or a label map? Name the "
        "object's values with foreground.values, and those of neither side with foreground.ignore",
    )

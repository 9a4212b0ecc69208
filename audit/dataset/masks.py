"""Masks in image files: what a person sees in the file is what counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.dataset.mask_names import check_pattern, mask_paths
from audit.dataset.mask_pixels import VOC_BORDER, Kind, MaskPixels, kind_of, read_mask
from audit.dataset.outlines import BACKGROUND, FOREGROUND, IGNORED, Outline
from audit.dataset.samples import Sample
from audit.errors import ManifestError, SampleError

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
    pattern: str | list[str] | None = None,
    suffix: str | None = None,
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
        Its own `mask` is taken where it has one; else a file is looked for.
    root : Path, optional
        Folder of the masks, laid out like the images; None: they lie beside the images.
    pattern : str or list of str, optional
        How a mask is named after ``{stem}``, the image's name without its ending, or ``{name}``,
        and ``{class}``: ``{stem}_mask.png``; ``{stem}_*.png`` joins the masks of several objects;
        with a ``/`` it begins at `root`: ``./{stem}.png`` finds masks without class folders.
        None: the names in use, ``{stem}.png`` first.
    suffix : str, optional
        Short for the pattern ``{stem}`` and this ending.
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
    if suffix is not None:
        pattern = "{stem}" + suffix
    paths = mask_paths(sample, root, pattern)
    if not paths:
        raise SampleError("NO_MASK", _missing(sample, root, pattern))
    found = [_one(path, values, ignore, inverted, channel, threshold) for path in paths]
    return found[0] if len(found) == 1 else _joined(found)


def mask_files(
    sample: Sample,
    *,
    root: Path | None = None,
    pattern: str | list[str] | None = None,
    suffix: str | None = None,
) -> list[Path]:
    """The files that :func:`mask_file` reads with these options of its own."""
    return mask_paths(sample, root, pattern if suffix is None else "{stem}" + suffix)


def check_mask_options(options: Mapping[str, object]) -> None:
    """Refuse options of :func:`mask_file` that cannot be, before any image is read.

    Raises
    ------
    ManifestError
        Naming the option, what was expected and what was found.
    """

    def refuse(option: str, expected: str) -> None:
        raise ManifestError(f"foreground.{option}: expected {expected}, found {options[option]!r}")

    check_pattern(options.get("pattern"))
    if (suffix := options.get("suffix")) is not None:
        if not isinstance(suffix, str) or "." not in suffix:
            refuse("suffix", "an ending such as .png or _mask.png")
        if options.get("pattern") is not None:
            raise ManifestError("foreground: pattern and suffix say the same; write one of them")
    for option in ("values", "ignore"):
        listed = options.get(option)
        for number in listed if isinstance(listed, (list, tuple)) else [listed]:
            if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
                refuse(option, "a whole number or a list of such")
    if options.get("channel") not in (None, "alpha", "colour"):
        refuse("channel", "alpha | colour")
    threshold = options.get("threshold")
    if threshold is not None:
        if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or threshold <= 0:
            refuse("threshold", "a share of the brightest pixel's (0.5) or a grey value (128)")
        if options.get("values") is not None:
            raise ManifestError(
                "foreground: threshold and values exclude each other; leave one of them out"
            )


def _missing(sample: Sample, root: Path | None, pattern: str | list[str] | None) -> str:
    if sample.mask is not None:
        return f"no mask file {sample.mask.name}"
    named = f"named {pattern}" if pattern else "of any of the names in use; see foreground.pattern"
    if root is None:
        return f"no mask file beside the image, and foreground.root is unset: none {named}"
    return f"no mask file for {Path(sample.sample_id).stem} in foreground.root: none {named}"


def _one(
    path: Path,
    values: int | Sequence[int] | None,
    ignore: int | Sequence[int] | None,
    inverted: bool,
    channel: str | None,
    threshold: float | None,
) -> Outline:
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
    if (mask == IGNORED).any() and "MASK_MANY_VALUES" in notes:
        # It is known what the values are.
        notes.remove("MASK_MANY_VALUES")
    return Outline(mask, tuple(notes), problem=problem)


def _joined(outlines: Sequence[Outline]) -> Outline:
    """The masks of several objects as one: object where any says so."""
    masks = [outline.mask for outline in outlines]
    if len({mask.shape for mask in masks}) > 1:
        raise SampleError("MASK_SIZE", "the mask files of this image differ in size")
    neither = np.any([mask == IGNORED for mask in masks], axis=0)
    joined = np.where(neither, IGNORED, BACKGROUND).astype(np.uint8)
    joined[np.any([mask == FOREGROUND for mask in masks], axis=0)] = FOREGROUND
    notes = tuple(dict.fromkeys(note for outline in outlines for note in outline.notes))
    problem = next((outline.problem for outline in outlines if outline.problem), None)
    return Outline(joined, notes, problem=problem)


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
    notes = ["MASK_MANY_VALUES"] if kind is Kind.LABELS else []
    return shown != 0, notes, _LIKE_A_PHOTOGRAPH if kind is Kind.PHOTOGRAPH else None


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

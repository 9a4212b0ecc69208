"""Masks in image files: what a person sees in the file is what counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from audit.dataset.decoding import open_image, read_bytes
from audit.dataset.outlines import BACKGROUND, FOREGROUND, IGNORED, Outline
from audit.dataset.samples import Sample
from audit.errors import SampleError

_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_VOC_BORDER = 255
_VOC_COLOURS = {1: (128, 0, 0), _VOC_BORDER: (224, 224, 192)}


@dataclass(frozen=True)
class MaskPixels:
    """One mask as read.

    Parameters
    ----------
    seen : (H0, W0)
        Brightness of the colours that the file shows: the largest channel, 0 is black.
    stored : (H0, W0)
        The numbers as stored: in a palette file the index.
    alpha : uint8 (H0, W0) or None
        255 is opaque; None where nothing is transparent.
    entries : int
        Numbers below are stored numbers; a grey value of a picture with fewer numbers, such as
        255 in a palette of two colours, is looked up in `seen`.
    has_border : bool
        The palette is that of PASCAL VOC, in which 255 is the border around objects.
    """

    seen: NDArray[Any]
    stored: NDArray[Any]
    alpha: NDArray[np.uint8] | None
    entries: int
    has_border: bool = False

    def are(self, numbers: int | Sequence[int]) -> NDArray[np.bool_]:
        """Tell where the pixels have one of these numbers."""
        wanted = np.atleast_1d(numbers)
        beyond = wanted[wanted >= self.entries]
        return np.isin(self.stored, wanted) | np.isin(self.seen, beyond)


def mask_file(
    sample: Sample,
    *,
    root: Path | None = None,
    suffix: str = ".png",
    values: int | Sequence[int] | None = None,
    ignore: int | Sequence[int] | None = None,
    inverted: bool = False,
    channel: str | None = None,
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
    inside = _inside(pixels, values, channel)
    problem = _without_background(pixels) if values is None and inside.all() else None
    mask = np.where(inside != inverted, FOREGROUND, BACKGROUND).astype(np.uint8)
    notes: list[str] = []
    if ignore is not None:
        mask[pixels.are(ignore)] = IGNORED
    elif pixels.has_border and (pixels.stored == _VOC_BORDER).any():
        mask[pixels.stored == _VOC_BORDER] = IGNORED
        notes.append("MASK_BORDER_IGNORED")
    return Outline(mask, tuple(notes), problem=problem)


def read_mask(path: Path) -> MaskPixels:
    """Read a mask of any mode.

    Raises
    ------
    SampleError
        With a reason that begins with ``MASK_``.
    """
    try:
        image = open_image(read_bytes(path))
        image.load()
        return _pixels(image)
    except SampleError as error:
        raise SampleError(f"MASK_{error.reason}", error.detail) from error
    except Exception as error:
        raise SampleError("MASK_DATA_CORRUPT", f"{type(error).__name__}: {error}") from error


def _pixels(image: Image.Image) -> MaskPixels:
    if image.mode == "F" or image.mode.startswith("I"):
        deep = np.asarray(image)
        if not np.isfinite(deep).all():
            raise SampleError("NON_FINITE_PIXELS", "the mask holds NaN or infinite values")
        return MaskPixels(deep, deep, None, 1 << 32)
    colours, alpha = _colours(image)
    seen = colours.max(axis=-1)
    if image.mode == "1":
        return MaskPixels(seen, np.asarray(image).astype(np.uint8), alpha, 2)
    if image.mode not in ("P", "PA"):
        return MaskPixels(seen, seen, alpha, 256)
    stored = np.asarray(image if image.mode == "P" else image.getchannel(0))
    palette = image.getpalette() or []
    border = all(tuple(palette[3 * i : 3 * i + 3]) == c for i, c in _VOC_COLOURS.items())
    return MaskPixels(seen, stored, alpha, len(palette) // 3, border)


def _colours(image: Image.Image) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Colours uint8 (H0, W0, 3) as shown, and how opaque they are, where anything is not."""
    if image.mode not in _WITH_ALPHA and "transparency" not in image.info:
        return np.asarray(image.convert("RGB")), None
    pixels = np.asarray(image.convert("RGBA"))
    alpha = pixels[..., 3]
    return pixels[..., :3], None if (alpha == alpha.flat[0]).all() else alpha


def _inside(
    pixels: MaskPixels, values: int | Sequence[int] | None, channel: str | None
) -> NDArray[np.bool_]:
    """Tell where the file marks something."""
    if values is not None:
        return pixels.are(values)
    if channel == "alpha" and pixels.alpha is None:
        raise SampleError("MASK_NO_ALPHA", "foreground.channel is alpha; nothing is transparent")
    if pixels.alpha is None or channel == "colour":
        coloured: NDArray[np.bool_] = pixels.seen != 0
        return coloured
    visible: NDArray[np.bool_] = pixels.alpha >= pixels.alpha.max() / 2
    colours = np.unique(pixels.seen[visible])
    if channel is None and len(colours) == 2 and colours[0] == 0:
        return visible & (pixels.seen > 0)
    return visible


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

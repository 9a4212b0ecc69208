"""The pixels of a mask file, in any mode: the colours shown, the numbers stored, the alpha."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from audit.dataset.decoding import load_whole, open_image
from audit.dataset.image_bytes import read_bytes
from audit.errors import SampleError

_LEAST_TOP = 32
"""Numbers below it count labels; no picture of black and white is as dark."""
_REGIONS = 0.1
"""Share of the grey pixels within regions of one value, from which they are labels."""
_MANY = 12
"""Grey values from which a file is looked at for larger regions: halos repeat small numbers."""
_PHOTOGRAPH = 0.35
"""Share of the pixels halfway between black and white, above which a file is no mask."""

_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
VOC_BORDER = 255
_VOC_COLOURS = {1: (128, 0, 0), VOC_BORDER: (224, 224, 192)}


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
    lossy : bool
        Saved as a JPEG, which keeps no value exactly.
    colours : uint8 (H0, W0, 3) or None
        As shown; None of a file in 16 bit or more.
    """

    seen: NDArray[Any]
    stored: NDArray[Any]
    alpha: NDArray[np.uint8] | None
    entries: int
    has_border: bool = False
    lossy: bool = False
    colours: NDArray[np.uint8] | None = None

    def are(self, numbers: int | Sequence[int]) -> NDArray[np.bool_]:
        """Tell where the pixels have one of these numbers."""
        array = np.atleast_1d(numbers)
        beyond = array[array >= self.entries]
        return np.isin(self.stored, array) | np.isin(self.seen, beyond)


def read_mask(path: Path) -> MaskPixels:
    """Read a mask of any mode.

    Raises
    ------
    SampleError
        With a reason that begins with ``MASK_``.
    """
    try:
        image = open_image(read_bytes(path))
        load_whole(image)
        return _pixels(image)
    except SampleError as error:
        raise SampleError(f"MASK_{error.reason}", error.detail) from error
    except Exception as error:
        raise SampleError("MASK_DATA_CORRUPT", f"{type(error).__name__}: {error}") from error


def _pixels(image: Image.Image) -> MaskPixels:
    lossy = image.format == "JPEG"
    if image.mode == "F" or image.mode.startswith("I"):
        deep = np.asarray(image)
        if not np.isfinite(deep).all():
            raise SampleError("NON_FINITE_PIXELS", "the mask holds NaN or infinite values")
        return MaskPixels(deep, deep, None, 1 << 32)
    colours, alpha = _colours(image)
    seen = colours.max(axis=-1)
    if image.mode == "1":
        return MaskPixels(seen, np.asarray(image).astype(np.uint8), alpha, 2, colours=colours)
    if image.mode not in ("P", "PA"):
        return MaskPixels(seen, seen, alpha, 256, lossy=lossy, colours=colours)
    stored = np.asarray(image if image.mode == "P" else image.getchannel(0))
    palette = image.getpalette() or []
    border = all(tuple(palette[3 * i : 3 * i + 3]) == c for i, c in _VOC_COLOURS.items())
    return MaskPixels(seen, stored, alpha, len(palette) // 3, border, colours=colours)


def _colours(image: Image.Image) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Colours uint8 (H0, W0, 3) as shown, and how opaque they are, where anything is not."""
    if image.mode not in _WITH_ALPHA and "transparency" not in image.info:
        return np.asarray(image.convert("RGB")), None
    pixels = np.asarray(image.convert("RGBA"))
    alpha = pixels[..., 3]
    return pixels[..., :3], None if (alpha == alpha.flat[0]).all() else alpha


class Kind(Enum):
    """What the grey values of a mask are."""

    TWO = "black and one more"
    LABELS = "numbers of labels"
    SOFT = "black and white with soft edges or the halo of a JPEG"
    PHOTOGRAPH = "all over the range"


def kind_of(shown: NDArray[Any], lossy: bool) -> Kind:
    """Tell black and white with soft edges, or with the halo of a JPEG, from a map of labels.

    The grey values of labels cover regions; those of an edge or a halo lie side by side.

    Parameters
    ----------
    shown : (H0, W0)
        Brightness, 0 is black.
    lossy : bool
        Saved as a JPEG, in which no label keeps its value.
    """
    top = float(shown.max())
    intermediate = (shown > 0) & (shown < top)
    if not intermediate.any():
        return Kind.TWO
    if np.issubdtype(shown.dtype, np.integer) and top < _LEAST_TOP:
        return Kind.LABELS
    halfway = (shown > top / 4) & (shown < top * 3 / 4)
    if not lossy:
        few = len(np.unique(shown[intermediate])) < _MANY
        # An edge between black and white passes the greys halfway; labels need not.
        if few and halfway.sum() < intermediate.sum() / 4:
            return Kind.LABELS
        if _in_regions(shown, intermediate, 2 if few else 3) >= _REGIONS:
            return Kind.LABELS
    return Kind.PHOTOGRAPH if halfway.mean() > _PHOTOGRAPH else Kind.SOFT


def _in_regions(shown: NDArray[Any], of: NDArray[np.bool_], side: int) -> float:
    """Share of some pixels that begin a square of `side` pixels of the very same value."""
    height, width = shown.shape[0] - side + 1, shown.shape[1] - side + 1
    first = shown[:height, :width]
    same = of[:height, :width].copy()
    for down, right in itertools.product(range(side), repeat=2):
        same &= shown[down : down + height, right : right + width] == first
    return float(same.sum() / of.sum())

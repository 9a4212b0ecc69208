"""An image from bytes: held against bounds by its header, decoded, turned upright.

This module and all that it imports stay free of torch, because every decoding child imports it.
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from audit.dataset.heif import HEIF, is_heif, register_heif
from audit.errors import SampleError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
MAX_PIXELS = 80_000_000
MAX_SIDE = 30_000
MIN_SIDE = 8

# Pillow's switches hold for a whole process, which may be somebody else's.
_switches = threading.Lock()

_SUFFIXES = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "PNG": {".png"},
    "WEBP": {".webp"},
    "BMP": {".bmp", ".dib"},
    "GIF": {".gif"},
    "TIFF": {".tif", ".tiff"},
    "AVIF": {".avif"},
    "HEIF": {".heic", ".heif", ".hif"},
}

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_image(content: bytes) -> Image.Image:
    """Open an image by its header alone and hold it against the bounds; no pixel is decoded.

    Raises
    ------
    SampleError
        Not of an allowed format, a broken header, too large or too small.
    """
    if is_heif(content):
        register_heif()
    try:
        image = Image.open(BytesIO(content), formats=HEIF if is_heif(content) else FORMATS)
    except UnidentifiedImageError:
        raise SampleError("NOT_AN_ALLOWED_IMAGE", _guess(content)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own bound lies above ours, unless this process was given another.
        raise SampleError("TOO_MANY_PIXELS", str(error)) from error
    except Exception as error:
        raise SampleError("HEADER_CORRUPT", f"{type(error).__name__}: {error}") from error
    width, height = image.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise SampleError("TOO_MANY_PIXELS", f"{width} x {height} pixels by its header")
    if min(width, height) < MIN_SIDE:
        raise SampleError("TOO_SMALL", f"{width} x {height} pixels; the least is {MIN_SIDE}")
    return image


def _guess(content: bytes) -> str:
    head = content[:64].lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the image; run `git lfs pull`"
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "a page of markup, not an image; perhaps a failed download"
    return f"not one of {', '.join(FORMATS)}"


def _first_frame(image: Image.Image, notes: list[str]) -> None:
    try:
        if getattr(image, "n_frames", 1) > 1:
            notes.append("FIRST_FRAME_ONLY")
            image.seek(0)
    except Exception:
        # Later frames may be broken while the first one is whole; loading it will tell.
        notes.append("FRAMES_UNREADABLE")


def load_whole(image: Image.Image) -> None:
    """Decode the pixels of an image; a partial picture is no picture, whoever allows it.

    Raises
    ------
    Exception
        Whatever Pillow says of damaged or truncated data.
    """
    with _switches:
        # Another library in this process may have switched it on.
        allowed, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        try:
            image.load()
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = allowed


def _load_pixels(image: Image.Image) -> None:
    try:
        load_whole(image)
    except (MemoryError, RecursionError) as error:
        raise SampleError("TOO_MANY_PIXELS", f"not enough memory to decode ({error})") from error
    except Exception as error:
        raise SampleError("DATA_CORRUPT", f"{type(error).__name__}: {error}") from error


def _to_rgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """Convert any mode to RGB as torchvision's loaders do, except where that would lie."""
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        notes.append("HIGH_BIT_DEPTH_SCALED")
        return Image.fromarray(_scaled(np.asarray(image))).convert("RGB")
    if mode == "LAB":
        notes.append("LAB_CONVERTED")
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted is not None
        return converted
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        notes.append("ALPHA_DROPPED")
        return image.convert("RGBA").convert("RGB")
    if mode in ("CMYK", "YCbCr", "HSV"):
        notes.append(f"{mode.upper()}_CONVERTED")
    return image.convert("RGB")


def _scaled(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale high-bit-depth grey ``(H, W)`` to uint8; ``convert("RGB")`` would clip it to white."""
    if not np.isfinite(pixels).all():
        raise SampleError("NON_FINITE_PIXELS", "the image holds NaN or infinite values")
    values = pixels.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and np.issubdtype(pixels.dtype, np.integer) and high <= 65535:
        top = 65535.0
    elif low >= 0 and high <= 1:
        top = 1.0
    elif low >= 0 and high <= 255:
        top = 255.0
    else:
        values, top = values - low, max(high - low, 1e-12)
    scaled: NDArray[np.uint8] = np.rint(values / top * 255).astype(np.uint8)
    return scaled


@dataclass(frozen=True)
class Picture:
    """A decoded image.

    Parameters
    ----------
    image : PIL image
        RGB, upright.
    orientation : int
        The EXIF orientation that was applied, 1..8.
    stored_size : (width, height)
        Before orientation.
    notes : tuple of str
        Codes of what was done on the way.
    """

    image: Image.Image
    orientation: int
    stored_size: tuple[int, int]
    notes: tuple[str, ...]


def decode(content: bytes, path: Path) -> Picture:
    """Decode bytes to an upright RGB image.

    Raises
    ------
    SampleError
        See :func:`open_image`; or the data is corrupt. A partial picture is never accepted.
    """
    with warnings.catch_warnings():
        # Odd files make Pillow warn; the row's notes say what matters of it.
        warnings.simplefilter("ignore")
        image = open_image(content)
        notes: list[str] = []
        if path.suffix and path.suffix.lower() not in _SUFFIXES[image.format or ""]:
            notes.append("WRONG_EXTENSION")
        _first_frame(image, notes)
        stored_size = image.size
        _load_pixels(image)
        orientation = _orientation(image, notes)
        try:
            rgb = _to_rgb(image, notes)
        except SampleError:
            raise
        except Exception as error:
            raise SampleError("UNSUPPORTED_MODE", f"mode {image.mode}: {error}") from error
        if orientation != 1:
            notes.append("EXIF_ROTATED")
            rgb = orient(rgb, orientation)
    if all(low == high for low, high in rgb.getextrema()):  # type: ignore[misc]
        notes.append("UNIFORM_IMAGE")
    return Picture(rgb, orientation, stored_size, tuple(notes))


def _orientation(image: Image.Image, notes: list[str]) -> int:
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:
        notes.append("EXIF_UNREADABLE")
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def orient(image: Image.Image, orientation: int) -> Image.Image:
    """Turn a stored image upright by its EXIF orientation, 1..8."""
    return image if orientation == 1 else image.transpose(_TURNS[orientation])

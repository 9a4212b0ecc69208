"""One sample from disk: its image decoded within bounds, its foreground made to fit it.

This module and all that it imports stay free of torch, because every decoding child imports it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from audit.dataset.decoding import Picture, decode, orient
from audit.dataset.members import read_member
from audit.dataset.outlines import FOREGROUND, Foreground, Outline
from audit.dataset.samples import Sample
from audit.errors import SampleError
from audit.geometry import Geometry


@dataclass(frozen=True)
class LoadedSample:
    """A sample as the model meets it.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        RGB.
    foreground : uint8 (H, W) or None
        0 background, 1 foreground, 255 neither; None where there is no foreground.
    sha256 : str
        Of the bytes that were decoded.
    notes : tuple of str
        Codes of what was done to the image, such as ``EXIF_ROTATED``.
    foreground_problem : str
        Why there is no foreground, or "".
    """

    image: NDArray[np.uint8]
    foreground: NDArray[np.uint8] | None
    sha256: str
    notes: tuple[str, ...] = ()
    foreground_problem: str = ""


def load_sample(
    sample: Sample,
    geometry: Geometry,
    foreground: Foreground | None,
    unchanged_since: tuple[int, int] | None = None,
    widened: int = 0,
) -> LoadedSample:
    """Read, decode and fit one sample.

    Parameters
    ----------
    sample : Sample
        What to load.
    geometry : Geometry
        Applied to image and foreground alike.
    foreground : Foreground or None
        From :func:`audit.dataset.foregrounds.open_foreground`.
    unchanged_since : (size, mtime_ns) or None
        See :func:`read_bytes`.
    widened : int
        Pixels of the input by which the foreground is drawn wider, to all sides.

    Raises
    ------
    SampleError
        The image cannot be used. A foreground that cannot be used is no error: the sample keeps
        its image, and `foreground_problem` says why.
    """
    content = read_member(sample, unchanged_since)
    digest = hashlib.sha256(content).hexdigest()
    if sample.sha256 and digest != sample.sha256:
        # Stamps can be set back, and a store of hashes be older than the file.
        raise SampleError("CHANGED_DURING_RUN", "the file holds other bytes than the run listed")
    # A container's ending tells nothing of the images in it.
    picture = decode(content, Path(sample.sample_id) if sample.member else sample.path)
    mask: NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = ()
    problem = ""
    if foreground is not None:
        try:
            mask, notes = _fit_foreground(sample, foreground, picture, geometry, digest)
        except SampleError as error:
            problem = str(error)
    if mask is not None and widened:
        mask = widen(mask, widened)
    fitted = np.asarray(geometry.apply(picture.image))
    return LoadedSample(fitted, mask, digest, picture.notes + notes, problem)


def widen(mask: NDArray[np.uint8], radius: int) -> NDArray[np.uint8]:
    """Draw a foreground `radius` pixels wider to all eight sides.

    Parameters
    ----------
    mask : uint8 (H, W)
        0 background, 1 foreground, 255 neither; the foreground grows over both.
    radius : int
        In pixels.

    Examples
    --------
    >>> widen(np.array([[0, 0, 1, 0, 255]], np.uint8), 1).tolist()
    [[0, 1, 1, 1, 255]]
    """
    near = mask == FOREGROUND
    for axis in (0, 1):
        padding = [(radius + 1, radius) if a == axis else (0, 0) for a in (0, 1)]
        sums = np.cumsum(np.pad(near, padding), axis, dtype=np.int32)
        length, reach = mask.shape[axis], 2 * radius + 1
        upper, lower = (np.take(sums, range(k, k + length), axis) for k in (reach, 0))
        near = upper > lower
    widened: NDArray[np.uint8] = np.where(near, np.uint8(FOREGROUND), mask)
    return widened


def _fit_foreground(
    sample: Sample, foreground: Foreground, picture: Picture, geometry: Geometry, digest: str
) -> tuple[NDArray[np.uint8] | None, tuple[str, ...]]:
    """Bring the foreground of a picture to the model's input; its notes come with it."""
    upright = foreground.drawn_on == "upright"
    width, height = picture.image.size if upright else picture.stored_size
    found = foreground.outline(sample, (height, width), digest)
    if found is None:
        return None, ()
    mask = np.asarray(found.mask)
    if mask.ndim != 2:
        raise SampleError("MASK_SHAPE", f"expected (H, W), found {mask.shape}")
    if mask.dtype != np.uint8:
        mask = mask.astype(bool).astype(np.uint8)
    drawn_on, notes = _drawn_on(foreground, found, picture)
    expected = picture.image.size if drawn_on == "upright" else picture.stored_size
    drawn = Image.fromarray(mask)
    if drawn.size != expected:
        raise SampleError(
            "MASK_SIZE",
            f"the mask has {mask.shape[1]} x {mask.shape[0]} pixels, "
            f"the image {expected[0]} x {expected[1]}",
        )
    if found.problem:
        raise found.problem
    if drawn_on == "stored":
        drawn = orient(drawn, picture.orientation)
    return np.asarray(geometry.apply(drawn, is_mask=True)), found.notes + notes


def _drawn_on(
    foreground: Foreground, outline: Outline, picture: Picture
) -> tuple[str, tuple[str, ...]]:
    """Which picture an outline lies on, and a note where nothing tells."""
    if foreground.drawn_on or picture.orientation == 1:
        return foreground.drawn_on or "stored", ()
    height, width = outline.mask.shape
    size = (width, height)
    if outline.has_own_size and picture.stored_size != picture.image.size:
        return "upright" if size == picture.image.size else "stored", ()
    return "stored", ("MASK_ORIENTATION_AMBIGUOUS",)

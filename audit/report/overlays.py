"""Arrays to images: overlays, outlines, mean maps and a legend. Touches no file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

Pixels = NDArray[np.uint8]

# Ten anchors of "inferno", the perceptually uniform map by van der Walt and Smith (CC0): equal
# steps of saliency look like equal steps of light, to colour-blind readers and on grey paper too.
_ANCHORS = np.array(
    [
        (0, 0, 4),
        (27, 12, 65),
        (74, 12, 107),
        (120, 28, 109),
        (165, 44, 96),
        (207, 68, 70),
        (237, 105, 37),
        (251, 155, 6),
        (247, 209, 61),
        (252, 255, 164),
    ],
    dtype=np.float64,
)
_ROBUST_PERCENTILE = 99.0
_GREY_WEIGHTS = np.array([0.299, 0.587, 0.114])


def colour_map(values: NDArray[np.floating]) -> Pixels:
    """Colour values of 0..1 from black over red to pale yellow.

    Parameters
    ----------
    values : float array of any shape
        Clipped to 0..1; what is not finite is drawn as 0.

    Returns
    -------
    uint8 array (..., 3)

    Examples
    --------
    >>> colour_map(np.array([0.0, 1.0])).tolist()
    [[0, 0, 4], [252, 255, 164]]
    """
    clipped = np.clip(np.nan_to_num(np.asarray(values, dtype=np.float64), posinf=1.0), 0.0, 1.0)
    places = np.linspace(0.0, 1.0, len(_ANCHORS))
    channels = [np.interp(clipped, places, _ANCHORS[:, c]) for c in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def normalise(saliency: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scale a map to 0..1 by its 99th percentile, so that one hot pixel does not hide the rest.

    Parameters
    ----------
    saliency : float (H, W)
        At least 0, of any scale. A blank map stays blank.

    Examples
    --------
    >>> normalise(np.array([[0.0, 2.0], [4.0, 4.0]])).tolist()
    [[0.0, 0.5], [1.0, 1.0]]
    """
    positive = np.maximum(
        np.nan_to_num(np.asarray(saliency, dtype=np.float64), posinf=0.0, neginf=0.0), 0.0
    )
    top = float(np.percentile(positive, _ROBUST_PERCENTILE)) if positive.size else 0.0
    top = top if top > 0 else float(positive.max(initial=0.0))
    return np.minimum(positive / top, 1.0) if top > 0 else np.zeros_like(positive)


def overlay(
    image: Pixels, saliency: NDArray[np.floating], foreground: NDArray[np.bool_] | None = None
) -> Pixels:
    """Lay a saliency map over its image; bright is where the class score is sensitive.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        RGB.
    saliency : float (H, W)
        At least 0, of any scale.
    foreground : bool (H, W), optional
        True on the object; its edge is drawn as a fine line.

    Returns
    -------
    uint8 (H, W, 3)
    """
    strength = normalise(saliency)
    grey = (image.astype(np.float64) @ _GREY_WEIGHTS)[..., np.newaxis]
    # The picture loses its colours, so that every colour left belongs to the map.
    ground = 0.15 * image + 0.85 * grey
    if not strength.any():
        laid = ground
    else:
        opacity = (0.45 + 0.40 * strength)[..., np.newaxis]
        laid = (1.0 - opacity) * ground + opacity * colour_map(strength)
    drawn = np.rint(laid).astype(np.uint8)
    return drawn if foreground is None else outline(drawn, foreground, width=1)


# Two ends of a diverging pair that colour-blind readers and grey paper tell apart.
_LOST, _GAINED = np.array([230.0, 97.0, 1.0]), np.array([44.0, 97.0, 180.0])


def signed_overlay(
    image: Pixels,
    strength: NDArray[np.floating],
    foreground: NDArray[np.bool_] | None = None,
) -> Pixels:
    """Colour the parts of an image by what the class loses (orange) or gains (blue) without them.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        RGB.
    strength : float (H, W)
        -1 (most is lost) to 1 (most is gained); at 0, where nothing is certain, it stays grey.
    foreground : bool (H, W), optional
        True on the object; its edge is drawn.

    Returns
    -------
    uint8 (H, W, 3)
    """
    grey = (image.astype(np.float64) @ _GREY_WEIGHTS)[..., np.newaxis]
    signed = strength[..., np.newaxis].astype(np.float64)
    colour = np.where(signed < 0, _LOST, _GAINED)
    opacity = np.where(signed != 0, 0.25 + 0.5 * np.abs(signed), 0.0)
    drawn = np.rint((1 - opacity) * grey + opacity * colour).astype(np.uint8)
    return drawn if foreground is None else outline(drawn, foreground, width=1)


def outline(image: Pixels, foreground: NDArray[np.bool_], width: int | None = None) -> Pixels:
    """Draw the edge of the object as a white line with a black one outside it.

    One of the two stands out on any ground. Where the object leaves the picture there is no line.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        RGB; it is not changed.
    foreground : bool (H, W)
        True on the object.
    width : int, optional
        Of each line in pixels; by default 1 for every 112 pixels of the longer side.

    Returns
    -------
    uint8 (H, W, 3)
    """
    drawn = image.copy()
    mask = np.asarray(foreground, dtype=bool)
    lines = width or max(1, round(max(mask.shape) / 112))
    drawn[_grown(mask, lines) & ~mask] = 0
    drawn[mask & _grown(~mask, lines)] = 255
    return drawn


def _grown(mask: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """Grow a mask by `steps` pixels up, down, left and right."""
    grown = mask.copy()
    for _ in range(steps):
        before = grown.copy()
        grown[1:] |= before[:-1]
        grown[:-1] |= before[1:]
        grown[:, 1:] |= before[:, :-1]
        grown[:, :-1] |= before[:, 1:]
    return grown


def mean_map(maps: Iterable[NDArray[np.floating]]) -> Pixels:
    """Average the maps of a class, each scaled to its own top first, and colour the average.

    Parameters
    ----------
    maps : iterable of float (H, W)
        All of one shape; read once, so a generator will do. Blank maps count as blank.

    Returns
    -------
    uint8 (H, W, 3)

    Raises
    ------
    ValueError
        There is no map.
    """
    total: NDArray[np.float64] | None = None
    for saliency in maps:
        normalised = normalise(saliency)
        total = normalised if total is None else total + normalised
    if total is None:
        raise ValueError("mean_map: expected at least one map, found none")
    return colour_map(normalise(total))


def legend(width: int = 256, height: int = 12) -> Pixels:
    """Draw the strip that explains the colours, from no saliency (left) to most (right).

    Examples
    --------
    >>> strip = legend(3, 1)
    >>> strip.shape, strip[0, 0].tolist(), strip[0, -1].tolist()
    ((1, 3, 3), [0, 0, 4], [252, 255, 164])
    """
    ramp = np.linspace(0.0, 1.0, width)
    return np.repeat(colour_map(ramp)[np.newaxis], height, axis=0)


def to_png(array: NDArray[np.uint8], chunks: Mapping[str, str] | None = None) -> bytes:
    """Encode pixels as PNG.

    Parameters
    ----------
    array : uint8 (H, W, 3) or (H, W)
        RGB or grey.
    chunks : mapping of str to str, optional
        Metadata: a text chunk each. None: no metadata.

    Raises
    ------
    ValueError
        Another shape or type.
    """
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)):
        raise ValueError(
            "to_png: expected uint8 of shape (H, W, 3) or (H, W), "
            f"found {array.dtype} of shape {array.shape}"
        )
    buffer, metadata = io.BytesIO(), PngInfo()
    for keyword, text in (chunks or {}).items():
        metadata.add_text(keyword, text)
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG", pnginfo=metadata)
    return buffer.getvalue()

"""Noise on the object against noise on the background, as one figure a class."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audit.verdicts.by_class import ByClass, Floats
from audit.verdicts.statistics import EffectSize, bootstrap


def relative_foreground_sensitivity(
    on_object: ArrayLike, on_background: ArrayLike, seed: int = 0
) -> EffectSize:
    """RFS of one class (Moayeri et al. 2022), -1..1, with its bootstrap interval.

    With ``a_f`` the accuracy under noise on the object, ``a_b`` under the same noise on the
    background and ``a`` their mean: ``RFS = (a_b - a_f) / (2 min(a, 1 - a))``. Positive: the
    class depends on the object. Undefined where no answer, or every answer, survives the noise.

    Parameters
    ----------
    on_object, on_background : float (n,)
        1 where an image was still answered with its label under noise there, else 0.
    seed : int
        Of the bootstrap.
    """
    return bootstrap([on_object, on_background], _ratio, seed)


def noise_hits(rows: ByClass, label: int) -> tuple[Floats, Floats]:
    """Which images of a class were still right under noise on the object, on the background."""
    on_object, on_background = (
        rows.numbers(f"{side}_noise_prediction", label) for side in ("foreground", "background")
    )
    measured = ~np.isnan(on_object)
    return (
        (on_object[measured] == label).astype(np.float64),
        (on_background[measured] == label).astype(np.float64),
    )


def _ratio(on_object: ArrayLike, on_background: ArrayLike) -> NDArray[np.float64]:
    foreground, background = np.asarray(on_object), np.asarray(on_background)
    middle = (foreground + background) / 2
    room = 2 * np.minimum(middle, 1 - middle)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: NDArray[np.float64] = np.where(room > 0, (background - foreground) / room, np.nan)
    return ratio

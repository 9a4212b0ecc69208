"""What is done to every image of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MeasurementPlan:
    """What is done to every image of a run.

    Parameters
    ----------
    method : callable
        A function of :data:`audit.saliency.METHODS`, options bound.
    target : str
        Key of :data:`audit.saliency.TARGETS`.
    donors : int
        Swaps of each kind an image.
    fill : str
        Key of :data:`audit.interventions.FILLS`.
    extra : tuple of str
        Keys of :data:`audit.measuring.experiments.EXTRA_EXPERIMENTS`.
    boundary_tolerance : float
        Width of :func:`audit.interventions.boundary_band`; 0: none.
    seed : int
        Of the run.
    """

    method: Callable[..., Any]
    target: str = "logit"
    donors: int = 4
    fill: str = "inpaint"
    extra: tuple[str, ...] = ()
    boundary_tolerance: float = 0.0
    seed: int = 0

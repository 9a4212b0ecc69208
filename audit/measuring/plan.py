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
    also : tuple of str
        Keys of :data:`audit.measuring.experiments.FURTHER`.
    doubt : float
        Width of :func:`audit.interventions.boundary_band`; 0: none.
    seed : int
        Of the run.
    """

    method: Callable[..., Any]
    target: str = "logit"
    donors: int = 4
    fill: str = "inpaint"
    also: tuple[str, ...] = ()
    doubt: float = 0.0
    seed: int = 0

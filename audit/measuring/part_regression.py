"""What was measured, regressed on which parts of an image were replaced: effects and their sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from audit.findings import Estimate


@dataclass(frozen=True)
class Total:
    """A weighted sum of effects, with its standard error; in units of the class score."""

    effect: float
    error: float

    def estimate(self, among: int = 1) -> Estimate:
        """With an interval of 95 %, for the most extreme of `among` effects that of Bonferroni."""
        reach = float(norm.ppf(1 - 0.025 / among)) * self.error
        return Estimate(value=self.effect, low=self.effect - reach, high=self.effect + reach)


UNKNOWN = Total(float("nan"), float("nan"))


@dataclass(frozen=True, eq=False)
class PartFit:
    """The effect of each part, float64 ``(P,)``, and their covariance, float64 ``(P, P)``."""

    effects: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @property
    def errors(self) -> NDArray[np.float64]:
        """Standard error of each part."""
        found: NDArray[np.float64] = np.sqrt(np.diag(self.covariance))
        return found

    def total(self, weights: NDArray[np.bool_] | NDArray[np.float64]) -> Total:
        """The effects summed by weights ``(P,)``; what parts share of their errors counts."""
        given = weights.astype(np.float64)
        variance = float(given @ self.covariance @ given)
        return Total(float(given @ self.effects), max(0.0, variance) ** 0.5)


def fit_parts(replaced: NDArray[np.bool_], leads: NDArray[np.float64]) -> PartFit:
    """Ordinary least squares of leads ``(M,)`` on which parts were replaced ``(M, P)``."""
    design = np.column_stack([np.ones(len(replaced)), replaced.astype(np.float64)])
    inverse = np.linalg.pinv(design.T @ design)
    effects = inverse @ design.T @ leads
    left = leads - design @ effects
    variance = float(left @ left) / max(1, len(design) - np.linalg.matrix_rank(design))
    return PartFit(effects[1:], variance * inverse[1:, 1:])

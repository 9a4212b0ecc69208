"""How far the run's saliency maps can be believed; no verdict depends on it."""

from __future__ import annotations

import numpy as np

from audit.findings import Estimate, MapChecks, MapOrder, MapTrust
from audit.verdicts.statistics import bootstrap_mean

ALIKE = 0.5
"""Maps of a network that learned nothing may be as like those of the trained one, in rank
correlation: chance gives about 0, the same form of the object's place some of it."""


def judge_maps(checks: MapChecks | None) -> MapTrust | None:
    """Judge what was measured of the maps; None where nothing was.

    Parameters
    ----------
    checks : MapChecks or None
        From :func:`audit.measuring.map_checks.check_maps`.
    """
    if checks is None:
        return None
    last = checks.cascade[-1].similarity if checks.cascade else None
    return MapTrust(
        method=checks.method,
        images=checks.images,
        cascade=checks.cascade,
        sensitive=None if last is None else abs(last) < ALIKE,
        deletion=_gained(checks.deletion, -1),
        insertion=_gained(checks.insertion, 1),
        agreements=checks.agreements,
    )


def _gained(order: MapOrder, sign: int) -> Estimate:
    """How much further the order of the map moves the class than one by chance."""
    if len(order.by_map) < 2:
        return Estimate()
    differences = sign * (np.asarray(order.by_map) - np.asarray(order.by_chance))
    found = bootstrap_mean(differences)
    return Estimate(value=found.value, low=found.low, high=found.high)

"""Which class model visualizations are wanted: everything of suspects, less of the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from audit.manifest import CmvSection

BRIEF_STEPS = 96
"""Steps, at most, of classes that are not suspect: what it costs stands in BENCHMARKS.md."""


@dataclass(frozen=True)
class CmvOrder:
    """Pictures of one recipe and one objective.

    Parameters
    ----------
    recipe, objective : str
        See :class:`audit.cmv.CmvRequest`.
    steps : mapping of int to int
        At most, by class index.
    """

    recipe: str
    objective: str
    steps: Mapping[int, int]


def orders_of(
    section: CmvSection, labels: Collection[int], brief: Collection[int] = ()
) -> list[CmvOrder]:
    """Which pictures are made, in which order.

    Parameters
    ----------
    section : CmvSection
        Of the manifest.
    labels : collection of int
        Class indices that get every recipe and objective.
    brief : collection of int
        Others that get the first of each, in at most :data:`BRIEF_STEPS` steps.
    """
    first = next(((r, o) for r in section.recipes for o in section.objectives), None)
    orders = []
    for kind in ((r, o) for r in section.recipes for o in section.objectives):
        steps = dict.fromkeys(labels, section.steps)
        if kind == first:
            steps |= dict.fromkeys(brief, min(section.steps, BRIEF_STEPS))
        if steps:
            orders.append(CmvOrder(*kind, dict(sorted(steps.items()))))
    return orders

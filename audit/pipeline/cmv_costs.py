"""What class model visualizations will cost, by the way in which a device makes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from audit.cmv import climbs_at_once
from audit.cmv.measuring import MEASURED
from audit.cmv.objectives import pictures_each
from audit.pipeline.cmv_material import Material
from audit.pipeline.cmv_orders import CmvOrder, orders_of
from audit.pipeline.session import Session

DERIVED = 3
"""A pass with derivatives, in passes without."""


@dataclass(frozen=True)
class CmvWork:
    """The work on all pictures together, at most: a class that is reached early is done earlier.

    Parameters
    ----------
    passes : int
        Images sent through the network, a pass with derivatives counted as :data:`DERIVED`.
    at_once : int
        Images of which the derivatives are asked for at the same time.
    area : float
        Pixels of a picture, in those of an input.
    """

    passes: int
    at_once: int
    area: float


NONE = CmvWork(0, 0, 0.0)


def cmv_work(session: Session) -> CmvWork:
    """Count what a manifest's class model visualizations ask of the model.

    Parameters
    ----------
    session : Session
        Opened. Some images are read where it has to be found out how large pictures will be.
    """
    orders = _orders(session)
    if not orders:
        return NONE
    side, device = Material(session).side, session.model.device
    example = torch.full((1, 3, side, side), 0.5, device=device)
    passes, at_once = 0, 0
    for order in orders:
        each, labels = pictures_each(order.objective), list(order.steps)
        slots, climbs = climbs_at_once(session.engine, len(labels), each, example)
        ascents = len(labels)
        if device.type == "cpu":
            ascents = slots * climbs * rounds(labels, slots, climbs)
        steps = round(sum(order.steps.values()) / len(labels) * ascents)
        passes += each * (steps * DERIVED + len(labels) * MEASURED)
        at_once = max(at_once, each * min(slots * climbs, ascents))
    area = (side / session.model.geometry.size) ** 2
    return CmvWork(passes, at_once, area)


def rounds(labels: Sequence[int], slots: int, climbs: int) -> int:
    """How often in turn the batches of a CPU are climbed, full or not.

    Each label has its own slot there, and a slot without work climbs along.

    Examples
    --------
    Eight labels of which three want the slot 1 and three the slot 2, in two batches of four:

    >>> rounds([275, 248, 257, 250, 258, 249, 274, 273], 4, 2)
    2
    """
    fullest = max(Counter(label % slots for label in labels).values())
    return -(-fullest // climbs)


def _orders(session: Session) -> list[CmvOrder]:
    """What will be pictured; of suspects nobody knows yet: one in ten is thought of."""
    section = session.manifest.cmv
    if section.classes == "none" or not session.saliency.differentiable:
        return []
    found = set(session.table["label_name"])
    labels = sorted(label for label, name in session.labels.items() if name in found)
    suspects = labels[: 1 + len(labels) // 10]
    if section.classes == "suspect":
        return orders_of(section, suspects)
    if section.classes == "all":
        brief = labels[len(suspects) :] if section.brief else []
        return orders_of(section, suspects if section.brief else labels, brief)
    return orders_of(section, [k for k in labels if session.labels[k] in section.classes])

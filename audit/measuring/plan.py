"""What is done to every image of a run, and what it is done with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pandas as pd

from audit.dataset.batches import Batch, iterate_batches
from audit.dataset.loader import Loader
from audit.models.engine import Engine

Counted = Callable[[str, int], AbstractContextManager[Callable[[int], object]]]
"""Is told what is counted and how many there are; gives what is called with so many more done."""


def uncounted(what: str, total: int) -> AbstractContextManager[Callable[[int], object]]:
    """Tell nobody."""
    return nullcontext(lambda _: None)


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
    swapped : frozenset of int, optional
        Rows of the list of samples whose images meet donors; None: all.
    """

    method: Callable[..., Any]
    target: str = "logit"
    donors: int = 4
    fill: str = "inpaint"
    extra: tuple[str, ...] = ()
    boundary_tolerance: float = 0.0
    seed: int = 0
    swapped: frozenset[int] | None = None


@dataclass(frozen=True)
class Workbench:
    """The images of a run and a model to ask: what every step of measuring works with.

    Parameters
    ----------
    table : DataFrame
        The list of samples.
    loader : Loader
        Decodes them.
    model : Engine
        Is asked.
    plan : MeasurementPlan
        As the scores are made, so that a map drawn later is the map that was scored.
    batch_size : int
        Images at a time.
    counted : callable
        Who is told how far a step is.
    """

    table: pd.DataFrame
    loader: Loader
    model: Engine
    plan: MeasurementPlan
    batch_size: int
    counted: Counted = uncounted

    def batches(self, rows: Iterable[int]) -> Iterator[Batch]:
        """The samples of some rows of the list, in batches."""
        chosen = self.table.loc[list(rows)]
        with self.counted("images", len(chosen)) as done:
            for batch in iterate_batches(chosen, self.loader, self.batch_size):
                yield batch
                done(len(batch) + len(batch.unreadable))

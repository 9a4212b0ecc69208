"""One batch through everything that a run does to an image: model, map, swap; timed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from audit.dataset.batches import Batch
from audit.errors import ModelError
from audit.findings import Status
from audit.measuring.backgrounds import build_bank
from audit.measuring.donors import DonorBank
from audit.measuring.rows import Rows, maps_of, measure_batch
from audit.models.memory import activation_bytes
from audit.pipeline.costs import UnitCosts
from audit.pipeline.session import Session
from audit.pixels import to_float
from audit.saliency import class_scores

_LENDERS = 12
"""Images of which the trial makes backgrounds."""
_MEASURED = 6


@dataclass(frozen=True)
class Trial:
    """What came of it.

    Parameters
    ----------
    right : tuple of bool
        Whether the model answers each image of the batch rightly.
    rows : list of dict
        The scores of some of them, as a run would write them.
    swapped : int
        Of these rows, how many met another background.
    unit : UnitCosts
        Seconds.
    """

    right: tuple[bool, ...]
    rows: Rows
    swapped: int
    unit: UnitCosts


def try_everything(session: Session, few: pd.DataFrame, batch: Batch) -> Trial:
    """Do to a few images what a run does to all; nothing of it is kept.

    Parameters
    ----------
    session : Session
        Opened.
    few : DataFrame
        Rows of images spread over the classes.
    batch : Batch
        Those of them that could be read.

    Raises
    ------
    ModelError
        A step fails on them.
    """
    with tempfile.TemporaryDirectory(prefix="saliency-audit-check-") as folder:
        try:
            return _try(session, batch, lambda: _lend(session, few, Path(folder)))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            message = str(error).splitlines()[0][:200] if str(error) else ""
            raise ModelError(
                f"one batch through model, {session.saliency.name} and swaps fails "
                f"({type(error).__name__}: {message}). "
                "Is the model's input as model.input says, and does it keep nothing of an image?"
            ) from error


def _try(
    session: Session, batch: Batch, lend: Callable[[], tuple[DonorBank | None, float]]
) -> Trial:
    engine, plan = session.engine, session.measurement()
    images = to_float(batch.images.to(engine.device))
    answers = class_scores(engine, images).argmax(1).cpu()
    bank, background = lend()
    # The first images warm up what compiles or allocates at first use.
    measure_batch(engine, batch.part(0, min(2, len(batch))), plan, bank)()
    few = batch.part(0, min(_MEASURED, len(batch)))
    rows, image = _timed(session, lambda: measure_batch(engine, few, plan, bank)())
    _, one_map = _timed(session, lambda: maps_of(engine, few, plan))
    _, forward = _timed(session, lambda: class_scores(engine, images[: len(few)]))
    return Trial(
        right=tuple((answers == batch.targets).tolist()),
        rows=rows,
        swapped=sum(row.get("swap_other_probability") is not None for row in rows),
        unit=UnitCosts(
            background=background,
            # Children decode while the model works; what they take is little beside it.
            image=image / len(few),
            map=one_map / len(few),
            forward=forward / len(few),
            kept_bytes=_kept_bytes(session, images[:1]),
        ),
    )


def _kept_bytes(session: Session, image: Tensor) -> int:
    """What one image's pass keeps for its derivatives; 0 where nobody will ask for any."""
    if not session.saliency.differentiable or session.manifest.cmv.classes == "none":
        return 0
    return activation_bytes(session.engine.folded(image), image)


def _lend(session: Session, few: pd.DataFrame, folder: Path) -> tuple[DonorBank | None, float]:
    """A bank of a few images' backgrounds, and the seconds that one took."""
    if not session.has_foregrounds:
        return None, 0.0
    lenders = few.iloc[:: max(1, len(few) // _LENDERS)]
    interventions, seed = session.manifest.interventions, session.manifest.run.seed
    with session.loader as loader:
        made, spent = _timed(
            session,
            lambda: build_bank(
                *(folder, lenders, loader),
                bank=interventions.bank,
                fill=interventions.fill,
                seed=seed,
                device=session.model.device,
            ),
        )
    return (DonorBank(folder) if made else None), spent / max(1, len(lenders))


def _timed(session: Session, work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.monotonic()
    found = work()
    if session.model.device.type == "cuda":
        torch.cuda.synchronize(session.model.device)
    return found, time.monotonic() - began


def blank(rows: Rows) -> int:
    """How many maps of a trial show nothing."""
    return sum(row["status"] == Status.BLANK_MAP for row in rows)

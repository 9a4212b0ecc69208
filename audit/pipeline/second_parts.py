"""Other outlines of some suspect classes: their backgrounds swapped again, by anybody."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import pandas as pd
import pyarrow as pa

from audit.dataset.estimated import SECOND_THRESHOLD
from audit.dataset.estimators import Estimator
from audit.dataset.loader import LoadingPlan
from audit.manifest import fingerprint
from audit.measuring.backgrounds import build_bank, candidates
from audit.measuring.donors import DonorBank, is_whole
from audit.measuring.follow_up import FIRST_PASS, pairs_of
from audit.measuring.follow_up import follow_up as measure_pairs
from audit.measuring.parts import StampedTable
from audit.measuring.plan import Workbench
from audit.measuring.second_outlines import (
    SECOND_COLUMNS,
    SECOND_FOLLOW_UP_COLUMNS,
    laid_over,
    swap_again,
)
from audit.pipeline.loaders import outline_store, second_estimator
from audit.pipeline.outlines import ensure_outlines
from audit.pipeline.progress import SILENT, Progress, counted
from audit.pipeline.session import Session
from audit.verdicts.outlines import SECOND, WIDENED

WIDENING = (1 / 8, 1 / 16)
"""By which share of the side outlines are drawn wider; the next where the first leaves too little
background to judge by."""
_BANK = 3200
"""Backgrounds cut out anew, at most about."""


@dataclass(frozen=True)
class Hand:
    """Who draws the outlines.

    Parameters
    ----------
    number : int
        Among all of :func:`hands`.
    name : str
        ``widened`` or ``second``.
    plan : LoadingPlan
        Loads images with these outlines.
    estimator : Estimator or None
        Whom to ask first.
    """

    number: int
    name: str
    plan: LoadingPlan
    estimator: Estimator | None = None


def hands(session: Session) -> Iterator[Hand]:
    """Everybody whose outlines a suspicion must survive; a later one of a name fills in."""
    plan, side = session.plan(), session.model.geometry.size
    for number, share in enumerate(WIDENING):
        yield Hand(number, WIDENED, dataclasses.replace(plan, widened=max(1, round(share * side))))
    options = session.manifest.foreground.options
    other = second_estimator(session.manifest, session.model.device)
    if other is not None:
        own = options if session.estimator is not None else {}
        store = outline_store(other, session.request.out)
        drawn = dataclasses.replace(plan, source="estimated", options=own, outlines=store)
        yield Hand(len(WIDENING), SECOND, drawn, other)
    elif session.estimator is not None:
        threshold = options.get("second_threshold", SECOND_THRESHOLD)
        lower = dict(options) | {"threshold": threshold}
        yield Hand(len(WIDENING), SECOND, dataclasses.replace(plan, options=lower))


@dataclass(frozen=True)
class SecondPart:
    """Some suspect classes and who draws their outlines.

    Parameters
    ----------
    number : int
        By which it is named.
    hand : int
        See :class:`Hand`.
    labels : tuple of int
        The classes.
    bank : str
        The folder of their backgrounds, among the parts.
    of : str
        What is equal where all that was measured before, and the outlines, are the same.
    """

    number: int
    hand: int
    labels: tuple[int, ...]
    bank: str
    of: str

    def file(self, session: Session, schema: pa.Schema) -> StampedTable:
        """Its rows with :data:`SECOND_COLUMNS`, or its follow-up."""
        kind = "swaps" if schema is SECOND_COLUMNS else "follow-up"
        name = f"hand-{self.hand}-part-{self.number:05d}-{kind}.parquet"
        stamp = fingerprint(session.key, dataclasses.asdict(self)).encode()
        return StampedTable(session.run.second_outlines_parts / name, schema, stamp)

    def made(self, session: Session) -> tuple[pa.Table, pa.Table]:
        """Both tables, of which somebody says that they were written.

        Raises
        ------
        AuditError
            One is not here.
        """
        swaps, pairs = (self.file(session, schema).made("second outlines") for schema in _SCHEMAS)
        return swaps, pairs


_SCHEMAS = (SECOND_COLUMNS, SECOND_FOLLOW_UP_COLUMNS)


def make_bank(session: Session, hand: Hand, labels: Collection[int]) -> Path:
    """The bank of backgrounds by a hand, for all parts: its folder, named by what it depends on."""
    manifest, table = session.manifest, session.table
    seed, donors = manifest.run.seed, manifest.interventions.donors
    bank = min(manifest.interventions.bank, max(2 * donors, _BANK // max(1, len(session.labels))))
    plan, estimator = hand.plan, hand.estimator
    drawn = [
        plan.source,
        plan.widened,
        dict(plan.options or {}),
        estimator and estimator.identity,
        bank,
    ]
    folder = session.run.second_outlines_parts / f"donors-{fingerprint(*drawn)[:16]}"
    if estimator is not None:
        lends = candidates(table, bank, seed).index
        asked = table[table["label"].isin(list(labels)) | table.index.isin(lends)]
        ensure_outlines(session, asked, estimator=estimator)
    if not is_whole(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with session.loader_of(plan) as loader:
            build_bank(
                folder,
                table,
                loader,
                bank=bank,
                fill=manifest.interventions.fill,
                seed=seed,
                device=session.model.device,
            )
    return folder


def measure_second_part(session: Session, part: SecondPart, progress: Progress = SILENT) -> bool:
    """Measure some classes again, unless that is done; returns whether it was measured now."""
    swapped, followed = (part.file(session, schema) for schema in _SCHEMAS)
    if swapped.read() is not None and followed.read() is not None:
        return False
    hand = next(islice(hands(session), part.hand, None))
    telling = partial(counted, progress, f"second outlines, {hand.name}")
    plan = dataclasses.replace(session.measurement(), extra=())
    least = session.manifest.verdict.minimum_images
    bank = DonorBank(session.run.second_outlines_parts / part.bank)
    with session.loader_of(hand.plan) as loader:
        size = session.batch_size()
        bench = Workbench(session.table, loader, session.engine, plan, size, telling)
        rows = swap_again(part.labels, bench, bank, hand.name, hand.plan.widened, least)
        table = pa.Table.from_pylist(rows, SECOND_COLUMNS)
        followed.write(_followed(session, part, table, bench, bank))
    swapped.write(table)
    return True


def _followed(
    session: Session, part: SecondPart, swaps: pa.Table, bench: Workbench, bank: DonorBank
) -> pa.Table:
    """The pairs of the follow-up of these classes, again."""
    run = session.run
    pairs = pairs_of(run, part.labels)
    if not len(pairs) or not len(swaps):
        return SECOND_FOLLOW_UP_COLUMNS.empty_table()
    own = [("label", "in", list(part.labels))]
    scores = pd.read_parquet(run.scores, columns=FIRST_PASS, filters=own)
    made = measure_pairs(laid_over(scores, swaps.to_pandas()), pairs, bench, bank)
    named = made.assign(outline=swaps["outline"][0].as_py())
    table = pa.Table.from_pandas(named, SECOND_FOLLOW_UP_COLUMNS, preserve_index=False)
    return table.replace_schema_metadata(None)

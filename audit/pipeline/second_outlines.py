"""Suspicions held against other outlines: the step that measures suspect classes again."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pyarrow as pa

from audit.dataset.estimated import SECOND_THRESHOLD
from audit.dataset.estimators import Estimator
from audit.dataset.loader import LoadingPlan
from audit.dataset.mask_findings import MASK_COLUMNS, mask_rows
from audit.findings import ClassFinding, Verdict
from audit.measuring.backgrounds import build_bank, candidates
from audit.measuring.columns import Row, is_table, write_table_of
from audit.measuring.donors import DonorBank
from audit.measuring.follow_up import follow_up as measure_pairs
from audit.measuring.plan import Counted, Workbench
from audit.measuring.second_outlines import (
    IMAGES,
    SECOND_COLUMNS,
    SECOND_FOLLOW_UP_COLUMNS,
    laid_over,
    swap_again,
)
from audit.pipeline.loaders import outline_store, second_estimator
from audit.pipeline.outlines import ensure_outlines
from audit.pipeline.progress import SILENT, Progress, counted
from audit.pipeline.session import Session
from audit.run_folder import RunFolder
from audit.sampling import at_most
from audit.verdicts.find import find
from audit.verdicts.outlines import LOOSE, SECOND, WIDENED

WIDENING = (1 / 8, 1 / 16)
"""By which share of the side outlines are drawn wider; the next where the first leaves too little
background to judge by."""
_BANK = 3200
"""Backgrounds cut out anew, at most about."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hand:
    """Who draws the outlines.

    Parameters
    ----------
    name : str
        ``widened`` or ``second``.
    plan : LoadingPlan
        Loads images with these outlines.
    estimator : Estimator or None
        Whom to ask first.
    """

    name: str
    plan: LoadingPlan
    estimator: Estimator | None = None


def measure_second_outlines(session: Session, progress: Progress = SILENT) -> int:
    """Swap the backgrounds of suspect classes again, with outlines drawn by other hands.

    Returns
    -------
    int
        Classes measured now.
    """
    run, manifest = session.run, session.manifest
    if not session.has_foregrounds or manifest.foreground.second_outline == "never":
        return 0
    scores = pd.read_parquet(run.scores)
    pairs = pd.read_parquet(run.follow_up) if is_table(run.follow_up) else None
    found = find(scores, manifest, session.labels, session.class_names, True, pairs)
    suspects = [finding for finding in found if finding.verdict is Verdict.SUSPECT]
    labels = {finding.label for finding in suspects}
    if not labels or labels <= _measured(run):
        return 0
    if session.source not in LOOSE:
        _look_at_masks_of(session, labels)
    rows: list[Row] = []
    followed: list[pd.DataFrame] = []
    for hand in hands(session):
        open_labels = {f.label for f in suspects if not _is_judged(session, rows, f, hand.name)}
        if open_labels:
            rows = [r for r in rows if r["outline"] != hand.name or r["label"] not in open_labels]
            telling = partial(counted, progress, f"second outlines, {hand.name}")
            made, again = _measure(session, hand, open_labels, scores, telling)
            rows += made
            followed += again
    _write(run, rows, followed)
    return len(labels)


def _look_at_masks_of(session: Session, labels: Collection[int]) -> None:
    """Write what the masks of suspect classes look like, as :func:`look_at_masks` does for all."""
    own = session.table[session.table["label"].isin(list(labels))]
    chosen = at_most(own, IMAGES, session.manifest.run.seed, "suspect masks", of_each="label")
    with session.workbench() as bench:
        rows = [row for batch in bench.batches(chosen.index) for row in mask_rows(batch)]
    run = session.run
    write_table_of(run, run.suspect_masks, pa.Table.from_pylist(rows, MASK_COLUMNS))


def _measured(run: RunFolder) -> set[int]:
    if not is_table(run.second_outlines):
        return set()
    return set(pd.read_parquet(run.second_outlines, columns=["label"])["label"])


def _is_judged(session: Session, rows: list[Row], finding: ClassFinding, outline: str) -> bool:
    """Whether enough images of a class met donors with this outline."""
    judged = [
        row
        for row in rows
        if (row["outline"], row["label"]) == (outline, finding.label)
        and row.get("swap_same_margin") is not None
        and row.get("swap_other_margin") is not None
    ]
    return len(judged) >= session.manifest.verdict.minimum_images


def hands(session: Session) -> Iterator[Hand]:
    """Everybody whose outlines a suspicion must survive; a later one of a name fills in."""
    plan, side = session.plan(), session.model.geometry.size
    for share in WIDENING:
        yield Hand(WIDENED, dataclasses.replace(plan, widened=max(1, round(share * side))))
    options = session.manifest.foreground.options
    other = second_estimator(session.manifest, session.model.device)
    if other is not None:
        own = options if session.estimator is not None else {}
        store = outline_store(other, session.request.out)
        drawn = dataclasses.replace(plan, source="estimated", options=own, outlines=store)
        yield Hand(SECOND, drawn, other)
    elif session.estimator is not None:
        threshold = options.get("second_threshold", SECOND_THRESHOLD)
        lower = dict(options) | {"threshold": threshold}
        yield Hand(SECOND, dataclasses.replace(plan, options=lower))


def _measure(
    session: Session,
    hand: Hand,
    labels: Collection[int],
    scores: pd.DataFrame,
    telling: Counted,
) -> tuple[list[Row], list[pd.DataFrame]]:
    """The swaps of some classes, and their follow-up where there was one, by one hand."""
    manifest, table = session.manifest, session.table
    seed, donors = manifest.run.seed, manifest.interventions.donors
    bank = min(manifest.interventions.bank, max(2 * donors, _BANK // max(1, len(session.labels))))
    if hand.estimator is not None:
        lends = candidates(table, bank, seed).index
        asked = table[table["label"].isin(list(labels)) | table.index.isin(lends)]
        ensure_outlines(session, asked, estimator=hand.estimator)
    with (
        TemporaryDirectory(dir=session.run.path, prefix=".writing-") as folder,
        session.loader_of(hand.plan) as loader,
    ):
        build_bank(
            Path(folder),
            table,
            loader,
            bank=bank,
            fill=manifest.interventions.fill,
            seed=seed,
            device=session.model.device,
        )
        plan = dataclasses.replace(session.measurement(), extra=())
        bench = Workbench(table, loader, session.engine, plan, session.batch_size(), telling)
        opened, least = DonorBank(Path(folder)), manifest.verdict.minimum_images
        rows = swap_again(labels, bench, opened, hand.name, hand.plan.widened, least)
        pairs = _pairs(session.run, labels)
        if not len(pairs) or not rows:
            return rows, []
        again = pa.Table.from_pylist(rows, SECOND_COLUMNS).to_pandas()
        followed = measure_pairs(laid_over(scores, again), pairs, bench, opened)
        return rows, [followed.assign(outline=hand.name)]


def _pairs(run: RunFolder, labels: Collection[int]) -> pd.DataFrame:
    """The pairs of the follow-up that hold one of these classes."""
    columns = ["label", "donor_label"]
    if not is_table(run.follow_up):
        return pd.DataFrame(columns=columns)
    pairs = pd.read_parquet(run.follow_up, columns=columns).drop_duplicates()
    return pairs[pairs["label"].isin(list(labels)) & (pairs["label"] != pairs["donor_label"])]


def _write(run: RunFolder, rows: list[Row], followed: list[pd.DataFrame]) -> None:
    swaps = (
        pd.concat(followed) if followed else pd.DataFrame(columns=SECOND_FOLLOW_UP_COLUMNS.names)
    )
    pairs = pa.Table.from_pandas(swaps, SECOND_FOLLOW_UP_COLUMNS, preserve_index=False)
    write_table_of(run, run.second_follow_up, pairs.replace_schema_metadata(None))
    # Last: it marks the step as done.
    write_table_of(run, run.second_outlines, pa.Table.from_pylist(rows, SECOND_COLUMNS))

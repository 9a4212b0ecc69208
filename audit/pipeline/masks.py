"""The masks looked at before they are believed: a step of its own, and what check says of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from audit.dataset.batches import Batch, iterate_batches
from audit.dataset.loader import LoadingPlan
from audit.dataset.mask_findings import (
    MASK_COLUMNS,
    MaskRow,
    are_doubtful,
    compared,
    cut_objects,
    mask_findings,
    mask_rows,
    overlaps,
)
from audit.findings import Code, Reason
from audit.manifest import load_manifest
from audit.measuring.columns import is_table, write_table_of
from audit.pipeline.outlines import ensure_outlines
from audit.pipeline.second_parts import hands
from audit.pipeline.session import Session
from audit.report.sentences import english
from audit.run_folder import RunFolder
from audit.sampling import spread_over
from audit.verdicts.outlines import LOOSE, SECOND

_IN_THE_TABLE = (Code.MASK_AREAS, Code.MASKS_EMPTY)
LOOKED_AT = 256
"""Masks of a dataset, at most."""


def look_at_masks(session: Session) -> int:
    """Look at some masks, spread over the classes, and write ``masks.parquet``.

    Returns
    -------
    int
        Masks looked at now.
    """
    run = session.run
    if not session.has_foregrounds or is_table(run.masks):
        return 0
    seed = session.manifest.run.seed
    some = spread_over(session.table, LOOKED_AT, seed, "masks", column="label")
    chosen = session.table[session.table["sample_id"].isin(set(some["sample_id"]))]
    rows: list[MaskRow] = []
    masks: dict[str, NDArray[np.bool_]] = {}
    with session.workbench() as bench:
        for batch in bench.batches(chosen.index):
            rows += mask_rows(batch)
            masks |= dict(zip(batch.ids, batch.foreground.numpy(), strict=True))
    found = {
        sample_id: overlaps(masks[sample_id], other)
        for sample_id, other in _others(session, chosen)
        if sample_id in masks
    }
    compared_rows = [{**row, "overlap": found.get(row["sample_id"])} for row in rows]
    write_table_of(run, run.masks, pa.Table.from_pylist(compared_rows, MASK_COLUMNS))
    return len(rows)


def _others(session: Session, table: pd.DataFrame) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Other outlines of some images: masks by hand, or those of a second estimate."""
    plan = _reference(session)
    if plan is None:
        hand = next((hand for hand in hands(session) if hand.name == SECOND), None)
        if hand is None:
            return
        if hand.estimator is not None:
            ensure_outlines(session, table, estimator=hand.estimator)
        plan = hand.plan
    with session.loader_of(plan) as loader:
        for batch in iterate_batches(table, loader, session.batch_size()):
            yield from zip(batch.ids, batch.foreground.numpy(), strict=True)


def _reference(session: Session) -> LoadingPlan | None:
    """How masks by hand are loaded, where the manifest names some beside the estimates."""
    declared = session.manifest.foreground.options.get("reference")
    if session.estimator is None or not isinstance(declared, Mapping):
        return None
    options = {str(key): value for key, value in declared.items() if key != "source"}
    return dataclasses.replace(
        session.plan(), source=declared["source"], options=options, outlines=None
    )


def findings_of(run: RunFolder, source: str) -> tuple[Reason, ...]:
    """What was found of a run's masks; nothing where nobody looked."""
    if source == "none" or not is_table(run.masks):
        return ()
    masks = pd.read_parquet(run.masks)
    reference = load_manifest(run.manifest, expand=False).foreground.options.get("reference")
    by = "reference" if reference else "second"
    return (*mask_findings(masks, source), *compared(masks, by))


def agreements(run: RunFolder) -> dict[str, float]:
    """By class: how far its outlines agree with others, 0..1; only where that was measured."""
    if not is_table(run.masks):
        return {}
    known = pd.read_parquet(run.masks, columns=["label_name", "overlap"]).dropna()
    return {
        str(name): float(v) for name, v in known.groupby("label_name")["overlap"].mean().items()
    }


def cuts_of(run: RunFolder, source: str) -> dict[str, Reason]:
    """By suspect class: what speaks for masks that cut its objects, or those of all classes."""
    if source in LOOSE or not is_table(run.suspect_masks):
        return {}
    everywhere = [r for r in findings_of(run, source) if r.code is Code.OUTLINES_CUT_OBJECTS]
    found = {}
    for name, masks in pd.read_parquet(run.suspect_masks).groupby("label_name"):
        said = next(iter(everywhere), cut_objects(masks))
        if said is not None:
            found[str(name)] = Reason(code=Code.OUTLINE_MAY_CUT, values=dict(said)["values"])
    return found


def are_masks_doubtful(run: RunFolder, source: str) -> bool:
    """Whether a suspicion by these masks must be shown by other outlines, too."""
    return are_doubtful(findings_of(run, source))


def mask_sentences(batch: Batch, source: str) -> list[str]:
    """What is to be said of the masks of some images, in English; for ``check``.

    Areas, and masks that are missing, it has in its table.
    """
    if source == "none" or not len(batch):
        return []
    masks = pa.Table.from_pylist(mask_rows(batch), MASK_COLUMNS).to_pandas()
    found = mask_findings(masks, source)
    return [english(reason) for reason in found if reason.code not in _IN_THE_TABLE]

"""Suspicions held against other outlines: the step that measures suspect classes again."""

from __future__ import annotations

import shutil
from collections.abc import Collection

import numpy as np
import pandas as pd
import pyarrow as pa

from audit.dataset.mask_findings import MASK_COLUMNS, mask_rows
from audit.findings import ClassFinding, Verdict
from audit.manifest import fingerprint
from audit.measuring.columns import Row, is_table, write_table_of
from audit.measuring.second_outlines import (
    IMAGES,
    SECOND_COLUMNS,
    SECOND_FOLLOW_UP_COLUMNS,
)
from audit.models.hashes import file_sha256
from audit.pipeline.decide import more_images_of
from audit.pipeline.progress import SILENT, Progress
from audit.pipeline.second_parts import Hand, SecondPart, hands, make_bank, measure_second_part
from audit.pipeline.session import Session
from audit.pipeline.steps import SEQUENTIAL, StepRunner
from audit.run_folder import RunFolder
from audit.sampling import at_most
from audit.verdicts.find import find
from audit.verdicts.outlines import LOOSE

_OF_SHARD = 4
"""A part has a quarter of a shard's images, since each meets donors twice."""


def measure_second_outlines(
    session: Session, progress: Progress = SILENT, runner: StepRunner = SEQUENTIAL
) -> int:
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
    more = more_images_of(run, manifest)
    found = find(scores, manifest, session.labels, session.class_names, True, pairs, more)
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
            # What is made here shares the children that decode.
            with session.loader_of(hand.plan):
                made, again = _by_hand(session, hand, open_labels, progress, runner)
            rows += made
            followed += again
    _write(run, rows, followed)
    shutil.rmtree(run.second_outlines_parts, ignore_errors=True)
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


def _by_hand(
    session: Session, hand: Hand, labels: Collection[int], progress: Progress, runner: StepRunner
) -> tuple[list[Row], list[pd.DataFrame]]:
    """The swaps of some classes, and their follow-up where there was one, by one hand."""
    run, own = session.run, sorted(labels)
    bank = make_bank(session, hand, own)
    files = [path for path in (run.scores, run.follow_up) if path.exists()]
    of = fingerprint(session.manifest.verdict.minimum_images, *map(file_sha256, files))
    most = max(1, session.manifest.run.shard_size // (_OF_SHARD * IMAGES))
    starts = range(0, len(own), most)
    parts = [
        SecondPart(n, hand.number, tuple(own[start : start + most]), bank.name, of)
        for n, start in enumerate(starts)
    ]
    counts = session.table["label"].value_counts().clip(upper=IMAGES)
    sizes = {part: int(counts[list(part.labels)].sum()) for part in parts}
    runner.run_parts("second-outlines", measure_second_part, session, progress, sizes)
    made = [part.made(session) for part in parts]
    row = pd.Series(range(len(session.table)), index=session.table["sample_id"])
    rows = [one for rows, _ in made for one in rows.to_pylist()]
    rows.sort(key=lambda one: row[one["sample_id"]])
    followed = pd.concat([swaps.to_pandas() for _, swaps in made])
    order = np.argsort(row[followed["sample_id"]].to_numpy(), kind="stable")
    return rows, [followed.iloc[order]]


def _write(run: RunFolder, rows: list[Row], followed: list[pd.DataFrame]) -> None:
    swaps = (
        pd.concat(followed) if followed else pd.DataFrame(columns=SECOND_FOLLOW_UP_COLUMNS.names)
    )
    pairs = pa.Table.from_pandas(swaps, SECOND_FOLLOW_UP_COLUMNS, preserve_index=False)
    write_table_of(run, run.second_follow_up, pairs.replace_schema_metadata(None))
    # Last: it marks the step as done.
    write_table_of(run, run.second_outlines, pa.Table.from_pylist(rows, SECOND_COLUMNS))

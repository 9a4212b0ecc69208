"""The step of the follow-up: which pairs of classes, cut into parts, and what came of all."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa

from audit.findings import Verdict
from audit.manifest import fingerprint
from audit.measuring.columns import is_table
from audit.measuring.follow_up import (
    FIRST_PASS,
    FOLLOW_UP_COLUMNS,
    IMAGES,
    as_table,
    followed_up,
    write_follow_up,
)
from audit.measuring.follow_up import follow_up as measure_pairs
from audit.measuring.parts import StampedTable
from audit.models.hashes import file_sha256
from audit.pipeline.measure import open_bank
from audit.pipeline.progress import SILENT, Progress, counted, passed_on
from audit.pipeline.session import Session
from audit.pipeline.steps import SEQUENTIAL, StepRunner
from audit.verdicts.affected import pair_losses, undecided_pairs
from audit.verdicts.decide import VICTIM_FLOOR
from audit.verdicts.find import find
from audit.verdicts.more_images import MoreImages, may_be_looked_at_twice
from audit.verdicts.suspicion import choose_pairs

_OF_SHARD = 4
"""A part has a quarter of a shard's images, since each meets donors of several classes."""
_TOLD = "follow-up, images"


@dataclass(frozen=True)
class FollowUpPart:
    """Some classes and those whose backgrounds they meet.

    Parameters
    ----------
    number, look : int
        By which it is named.
    pairs : tuple of (label, donor label)
        All of these classes.
    of : str
        What is equal where all that was measured before is the same.
    """

    number: int
    look: int
    pairs: tuple[tuple[int, int], ...]
    of: str

    def file(self, session: Session) -> StampedTable:
        """The swaps, as a file of its own."""
        name = f"look-{self.look}-part-{self.number:05d}.parquet"
        stamp = fingerprint(session.key, dataclasses.asdict(self)).encode()
        return StampedTable(session.run.follow_up_parts / name, FOLLOW_UP_COLUMNS, stamp)


def follow_up(
    session: Session, progress: Progress = SILENT, runner: StepRunner = SEQUENTIAL
) -> int:
    """Measure with fresh donors the pairs of classes where the first pass leaves a doubt.

    Returns
    -------
    int
        Pairs looked at.
    """
    run = session.run
    if is_table(run.follow_up) or not session.has_foregrounds:
        return 0
    scores = pd.read_parquet(run.scores)
    twice = MoreImages(may_be_looked_at_twice(session.table["label"], session.manifest))

    def still_open(swaps: pd.DataFrame | None = None) -> list[int]:
        names, manifest = session.class_names, session.manifest
        found = find(scores, manifest, session.labels, names, True, swaps, twice)
        return [f.label for f in found if f.verdict is not Verdict.SUSPECT]

    pairs = choose_pairs(scores, still_open())
    # Before there are parts, of which each would make it.
    if not len(pairs) or open_bank(session) is None:
        return 0
    look_at = partial(_look_at, session, scores, progress, runner)
    of = file_sha256(run.scores)
    swaps = look_at(pairs, 1, of)
    floor = max(VICTIM_FLOOR, session.manifest.verdict.effect)
    again = undecided_pairs(pair_losses(scores, swaps), floor, still_open(swaps))
    if len(again):
        first = _first_look(session, of)
        first.write(as_table(swaps))
        swaps = pd.concat([swaps, look_at(again, 2, file_sha256(first.path))])
    write_follow_up(run, swaps)
    shutil.rmtree(run.follow_up_parts, ignore_errors=True)
    return len(pairs)


def measure_part(session: Session, part: FollowUpPart, progress: Progress = SILENT) -> bool:
    """Measure some classes, unless that is done; returns whether it was measured now."""
    run, file = session.run, part.file(session)
    if file.read() is not None:
        return False
    bank = open_bank(session)
    assert bank is not None, "a follow-up is of foregrounds"
    own = [("label", "in", sorted({label for label, _ in part.pairs}))]
    scores, before = pd.read_parquet(run.scores, columns=FIRST_PASS, filters=own), None
    if part.look > 1:
        before = pd.read_parquet(_first_look(session, "").path, filters=own)

    pairs = pd.DataFrame(list(part.pairs), columns=["label", "donor_label"])
    with session.workbench(passed_on(progress, _TOLD)) as bench:
        file.write(as_table(measure_pairs(scores, pairs, bench, bank, before)))
    return True


def _first_look(session: Session, of: str) -> StampedTable:
    """What the first look found, for the parts of the second."""
    path = session.run.follow_up_parts / "look-1.parquet"
    return StampedTable(path, FOLLOW_UP_COLUMNS, of.encode())


def _look_at(
    session: Session,
    scores: pd.DataFrame,
    progress: Progress,
    runner: StepRunner,
    pairs: pd.DataFrame,
    look: int,
    of: str,
) -> pd.DataFrame:
    """All swaps of one look, in the order of the list of samples, whoever made which part."""
    table, seed = session.table, session.manifest.run.seed
    chosen = followed_up(table, scores, set(pairs["label"]), seed)["label"].value_counts()
    labels = sorted(set(pairs["label"]) & set(chosen.index))
    most = max(1, session.manifest.run.shard_size // (_OF_SHARD * IMAGES))
    parts: dict[FollowUpPart, int] = {}
    for number, start in enumerate(range(0, len(labels), most)):
        some = labels[start : start + most]
        own = pairs[pairs["label"].isin(some)]
        told = tuple(zip(own["label"].tolist(), own["donor_label"].tolist(), strict=True))
        parts[FollowUpPart(number, look, told, of)] = int(chosen[some].sum())
    with counted(progress, "follow-up", "images", sum(parts.values())):
        runner.run_parts("follow-up", measure_part, session, progress, parts)
    made = [part.file(session).made("follow-up") for part in parts]
    swaps: pd.DataFrame = pa.concat_tables([FOLLOW_UP_COLUMNS.empty_table(), *made]).to_pandas()
    row = pd.Series(np.arange(len(table)), index=table["sample_id"])
    return swaps.iloc[np.argsort(row[swaps["sample_id"]].to_numpy(), kind="stable")]

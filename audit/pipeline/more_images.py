"""The step that lets further images meet donors, of classes that the first ones leave undecided."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from audit.manifest import fingerprint
from audit.measuring.columns import is_table, write_table_of
from audit.measuring.follow_up import FIRST_PASS, FOLLOW_UP_COLUMNS, as_table, pairs_of
from audit.measuring.follow_up import follow_up as measure_pairs
from audit.measuring.more_images import MORE_COLUMNS, READ, further_images, swap_more
from audit.measuring.parts import StampedTable
from audit.models.hashes import file_sha256
from audit.pipeline.measure import open_bank
from audit.pipeline.progress import SILENT, Progress, counted, passed_on
from audit.pipeline.session import Session
from audit.pipeline.steps import SEQUENTIAL, StepRunner
from audit.verdicts.find import undecided
from audit.verdicts.more_images import MoreImages, laid_in, may_be_looked_at_twice

_OF_SHARD = 4
"""A part has a quarter of a shard's images, since each is followed up as well."""
_TOLD = "more images, images"


@dataclass(frozen=True)
class MorePart:
    """Some undecided classes.

    Parameters
    ----------
    number : int
        By which it is named.
    labels : tuple of int
        The classes.
    first, more : int
        See :func:`~audit.measuring.more_images.further_images`.
    of : str
        What is equal where all that was measured before is the same.
    """

    number: int
    labels: tuple[int, ...]
    first: int
    more: int
    of: str

    def file(self, session: Session, schema: pa.Schema) -> StampedTable:
        """Its swaps with :data:`MORE_COLUMNS`, or its follow-up."""
        kind = "swaps" if schema is MORE_COLUMNS else "follow-up"
        name = f"part-{self.number:05d}-{kind}.parquet"
        stamp = fingerprint(session.key, dataclasses.asdict(self)).encode()
        return StampedTable(session.run.more_images_parts / name, schema, stamp)

    def chosen(self, session: Session) -> pd.DataFrame:
        """Its images, as rows of the list of samples."""
        own = [("label", "in", list(self.labels))]
        scores = pd.read_parquet(session.run.scores, columns=READ, filters=own)
        seed = session.manifest.run.seed
        return further_images(session.table, scores, self.labels, self.first, self.more, seed)


_SCHEMAS = (MORE_COLUMNS, FOLLOW_UP_COLUMNS)


def measure_more_images(
    session: Session, progress: Progress = SILENT, runner: StepRunner = SEQUENTIAL
) -> int:
    """Let further images of undecided classes meet donors, and follow them up.

    Returns
    -------
    int
        Classes looked at now.
    """
    run, manifest = session.run, session.manifest
    twice = may_be_looked_at_twice(session.table["label"], manifest)
    if not twice or not session.has_foregrounds or is_table(run.more_images):
        return 0
    pairs = pd.read_parquet(run.follow_up) if is_table(run.follow_up) else None
    more = MoreImages(twice)
    scores = pd.read_parquet(run.scores)
    labels = sorted(undecided(scores, manifest, session.labels, pairs, more) & twice)
    # Before there are parts, of which each would make it.
    if labels and open_bank(session) is None:
        return 0
    swaps, followed = _look_at(session, labels, progress, runner)
    write_table_of(run, run.more_follow_up, followed)
    # Last: it marks the step as done. Where no class was undecided it says so, by being empty.
    write_table_of(run, run.more_images, swaps)
    shutil.rmtree(run.more_images_parts, ignore_errors=True)
    return len(labels)


def measure_part(session: Session, part: MorePart, progress: Progress = SILENT) -> bool:
    """Measure the images of some classes, unless that is done; returns whether it was done now."""
    swapped, followed = (part.file(session, schema) for schema in _SCHEMAS)
    if swapped.read() is not None and followed.read() is not None:
        return False
    run, bank = session.run, open_bank(session)
    assert bank is not None, "swaps are of foregrounds"

    chosen, plan = part.chosen(session), dataclasses.replace(session.measurement(), extra=())
    with session.workbench(passed_on(progress, _TOLD)) as bench:
        asked = dataclasses.replace(bench, plan=plan)
        table = pa.Table.from_pylist(swap_more(chosen, asked, bank), MORE_COLUMNS)
        pairs = pairs_of(run, part.labels)
        own = [("sample_id", "in", set(chosen["sample_id"]))]
        scores = pd.read_parquet(run.scores, columns=FIRST_PASS, filters=own)
        scores = laid_in(scores, table.to_pandas())
        made = FOLLOW_UP_COLUMNS.empty_table()
        if len(pairs) and len(table):
            made = as_table(measure_pairs(scores, pairs, asked, bank, most=part.more))
        followed.write(made)
    swapped.write(table)
    return True


def _look_at(
    session: Session, labels: list[int], progress: Progress, runner: StepRunner
) -> tuple[pa.Table, pa.Table]:
    """All swaps and the follow-up, in the order of the list of samples, whoever made which part."""
    run, manifest = session.run, session.manifest
    first, more = manifest.swapped_images or 0, manifest.more_images
    files = [path for path in (run.scores, run.follow_up) if path.exists()]
    of = fingerprint(*map(file_sha256, files))
    most = max(1, manifest.run.shard_size // (_OF_SHARD * more))
    parts = [
        MorePart(number, tuple(labels[start : start + most]), first, more, of)
        for number, start in enumerate(range(0, len(labels), most))
    ]
    # Each image is seen by its own swaps, and by the follow-up.
    sizes = {part: 2 * len(part.chosen(session)) for part in parts}
    with counted(progress, "more images", "images", sum(sizes.values())):
        runner.run_parts("more-images", measure_part, session, progress, sizes)
    row = pd.Series(np.arange(len(session.table)), index=session.table["sample_id"])

    def gathered(schema: pa.Schema) -> pa.Table:
        made = [part.file(session, schema).made("more images") for part in parts]
        table = pa.concat_tables([schema.empty_table(), *made])
        order = np.argsort(row[table["sample_id"].to_pylist()].to_numpy(), kind="stable")
        return table.take(pa.array(order, pa.int64()))

    swaps, followed = map(gathered, _SCHEMAS)
    return swaps, followed

"""The table of readers, and what one of them finds."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from audit.dataset.coco import coco
from audit.dataset.csv_index import csv_index
from audit.dataset.huggingface import huggingface
from audit.dataset.image_folder import image_folder
from audit.dataset.sample_table import printable, sample_of, samples_table
from audit.dataset.samples import Remark, Sample, Skipped
from audit.dataset.voc import voc
from audit.dataset.webdataset import webdataset
from audit.dataset.yolo import yolo
from audit.errors import DatasetError
from audit.plugins import bind, importable, resolve

_log = logging.getLogger(__name__)

READERS: Mapping[str, Callable[..., Any]] = {
    "image_folder": image_folder,
    "csv_index": csv_index,
    "coco": coco,
    "voc": voc,
    "yolo": yolo,
    "huggingface": huggingface,
    "webdataset": webdataset,
}


@dataclass(frozen=True)
class Dataset:
    """What a reader found.

    Parameters
    ----------
    table : DataFrame
        Its samples in the reader's order, ids unique; see :func:`samples_table`.
    skipped : tuple of Skipped
        What it found and left out.
    remarks : tuple of str
        What it decided by itself, in sentences.
    """

    table: pd.DataFrame
    skipped: tuple[Skipped, ...]
    remarks: tuple[str, ...] = ()

    @property
    def samples(self) -> Iterator[Sample]:
        """The samples one by one; all at once would take many times the table's memory."""
        return map(sample_of, self.table.itertuples())

    @property
    def outlines(self) -> str | None:
        """The source of foregrounds that the samples' annotations are for, where any has one."""
        written = self.table["annotation"]
        # Of boxes it is only said on which size they were drawn.
        boxes = written.str.startswith('{"source": "bounding_box"')
        some = written[(written != "") & ~boxes]
        return json.loads(some.iloc[0])["source"] if len(some) else None

    @property
    def class_names(self) -> list[str]:
        """Sorted names of all classes, the empty ones among them."""
        empty = {printable(s.label_name) for s in self.skipped if s.reason == "EMPTY_CLASS"}
        return sorted(set(self.table["label_name"]) | empty)


def read_dataset(
    reader: str,
    root: Path,
    options: Mapping[str, object],
    folder: Path | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
    *,
    is_here: bool = True,
) -> Dataset:
    """Let a reader list its samples.

    Parameters
    ----------
    reader : str
        A key of :data:`READERS`, or ``"package.module:function"``.
    root : Path
        What it reads.
    options : mapping
        As written in the manifest.
    folder : Path, optional
        Of the manifest; plugins may lie in it.
    on_progress : callable
        Called with so many more samples listed.
    is_here : bool
        False where the images are yet to be fetched: then none is missed.

    Raises
    ------
    ManifestError
        Unknown reader or option.
    DatasetError
        Nothing found, or an id twice.
    """
    found = resolve(reader, READERS, key="dataset.reader", folder=folder)
    function = bind(found, options, key="dataset")
    skipped: list[Skipped] = []
    remarks: list[str] = []

    def samples() -> Iterator[Sample]:
        for item in function(root):
            if isinstance(item, Sample):
                yield item
            elif isinstance(item, Skipped):
                skipped.append(item)
            elif isinstance(item, Remark):
                remarks.append(item.text)
            else:
                raise DatasetError(
                    f"dataset.reader: {reader} yielded a {type(item).__name__}, expected Sample"
                )

    # A reader may be a generator, which runs only now.
    with importable(folder):
        table = samples_table(samples(), on_progress=on_progress)
    _check_listed(table, reader, root, skipped)
    remarks += not_found(table) if is_here else ()
    for remark in remarks:
        _log.warning("dataset: %s", remark)
    return Dataset(table, tuple(skipped), tuple(remarks))


def not_found(table: pd.DataFrame) -> tuple[str, ...]:
    """Say of a list of samples how many image files are not there; nothing where all are."""
    missing = table.loc[table["size"] < 0, "sample_id"]
    if missing.empty:
        return ()
    return (
        f"{len(missing)} of {len(table)} image files cannot be found, such as "
        f"{missing.iloc[0]}: is dataset.root what their paths are relative to?",
    )


def _check_listed(table: pd.DataFrame, reader: str, root: Path, skipped: Sequence[Skipped]) -> None:
    if table.empty:
        raise DatasetError(
            f"dataset: {reader} found no image below {root} ({_skipped_in_words(skipped)}). Are "
            "dataset.root and dataset.reader those of this dataset? `saliency-audit init --images "
            "DIR` recognises which they are."
        )
    ids = table["sample_id"]
    # By Arrow: pandas takes several times the memory of the ids for it.
    if pc.count_distinct(pa.array(ids)).as_py() < len(ids):
        twice = ids[ids.duplicated()].iloc[0]
        raise DatasetError(
            f"dataset.reader: {reader} yielded the id {twice!r} twice. Expected one that is "
            "unique: a path below the root, say."
        )


def _skipped_in_words(skipped: Sequence[Skipped]) -> str:
    """How many entries were left out, why most of them, and one of these."""
    if not skipped:
        return "no entry at all"
    often, count = Counter(item.reason for item in skipped).most_common(1)[0]
    first = next(item for item in skipped if item.reason == often)
    return (
        f"{len(skipped)} entries skipped, {count} of them {often}, such as "
        f"{first.path!r:.80}: {first.detail:.120}"
    )

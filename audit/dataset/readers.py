"""The table of readers, and the frozen list of samples that a run is about."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from audit.dataset.csv_index import csv_index
from audit.dataset.image_folder import image_folder
from audit.dataset.samples import Sample, Skipped
from audit.errors import DatasetError
from audit.plugins import bind, resolve

READERS: Mapping[str, Callable[..., Any]] = {
    "image_folder": image_folder,
    "csv_index": csv_index,
}


@dataclass(frozen=True)
class Dataset:
    """What a reader found.

    Parameters
    ----------
    samples : tuple of Sample
        In the reader's order, ids unique.
    skipped : tuple of Skipped
        What it found and left out.
    """

    samples: tuple[Sample, ...]
    skipped: tuple[Skipped, ...]

    @property
    def class_names(self) -> list[str]:
        """Sorted names of all classes, the empty ones among them."""
        named = {s.label_name for s in self.samples}
        empty = {s.label_name for s in self.skipped if s.reason == "EMPTY_CLASS"}
        return sorted(named | empty)


def read_dataset(reader: str, root: Path, options: Mapping[str, Any]) -> Dataset:
    """Let a reader list its samples.

    Raises
    ------
    ManifestError
        Unknown reader or option.
    DatasetError
        Nothing found, or an id twice.
    """
    function = bind(resolve(reader, READERS, key="dataset.reader"), options, key="dataset")
    samples: list[Sample] = []
    skipped: list[Skipped] = []
    for item in function(root):
        if isinstance(item, Sample):
            samples.append(item)
        elif isinstance(item, Skipped):
            skipped.append(item)
        else:
            raise DatasetError(
                f"dataset.reader: {reader} yielded a {type(item).__name__}, expected Sample"
            )
    if not samples:
        raise DatasetError(
            f"dataset: {reader} found no image below {root} ({len(skipped)} entries skipped)"
        )
    ids = pd.Series([sample.sample_id for sample in samples])
    if ids.duplicated().any():
        twice = ids[ids.duplicated()].iloc[0]
        raise DatasetError(f"dataset.reader: {reader} yielded the id {twice!r} twice")
    return Dataset(tuple(samples), tuple(skipped))


def printable(text: str) -> str:
    r"""Show a name that may hold undecodable bytes; such names cannot be written to any file.

    Examples
    --------
    >>> printable("caf\udce9.png")
    'caf\\xe9.png'
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def samples_table(samples: Sequence[Sample], labels: Sequence[int]) -> pd.DataFrame:
    """The frozen list of samples, one row each, in the order in which shards cut it.

    Columns are those of :class:`Sample`, plus `label` and the file's `size` and `mtime_ns` as
    the run began (-1: it could not be looked at).
    """
    rows = []
    for sample, label in zip(samples, labels, strict=True):
        try:
            found = os.stat(sample.path)
            size, mtime = found.st_size, found.st_mtime_ns
        except OSError:
            size, mtime = -1, -1
        rows.append(
            {
                "sample_id": printable(sample.sample_id),
                # Bytes keep names that are no UTF-8.
                "path": os.fsencode(sample.path),
                "label": label,
                "label_name": printable(sample.label_name),
                "mask": os.fsencode(sample.mask) if sample.mask else None,
                "boxes": json.dumps(sample.boxes),
                "metadata": json.dumps(sample.metadata),
                "size": size,
                "mtime_ns": mtime,
            }
        )
    return pd.DataFrame(rows)


def sample_of(row: Any) -> Sample:
    """One row of :func:`samples_table`, as a sample again."""
    return Sample(
        sample_id=row.sample_id,
        path=Path(os.fsdecode(row.path)),
        label_name=row.label_name,
        mask=Path(os.fsdecode(row.mask)) if isinstance(row.mask, bytes) else None,
        boxes=tuple(tuple(box) for box in json.loads(row.boxes)),
        metadata=json.loads(row.metadata),
    )

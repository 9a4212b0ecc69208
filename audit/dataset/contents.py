"""What a dataset holds, by sha256: of each image and of what its foreground is read from.

The hashes have to be known before the work begins: the fingerprint says by them whether a run goes
on, is new, or has nothing new to find; donors are drawn by them. So files are read for it once, by
threads, ahead of the run; :mod:`audit.dataset.content_store` keeps them from being read for it a
second time. The children that decode hash what they decode in any case, and an image that is not
the one that was hashed is an error of that sample: a stale hash, or a file that changed in the
middle of a run, is noticed there.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import pandas as pd

from audit.dataset.content_store import ContentStore, FileKey, key_of
from audit.dataset.image_bytes import MAX_BYTES, check_file
from audit.dataset.members import read_member
from audit.dataset.outlines import Foreground
from audit.dataset.sample_table import sample_of
from audit.errors import SampleError

_AT_ONCE = 8192
_TOGETHER = 64
_THREADS = 8
# Cells of a Parquet file are read one after the other, in order.
_IN_ORDER = '["parquet"'

T = TypeVar("T")
R = TypeVar("R")
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Hashed:
    """What it took.

    Parameters
    ----------
    files : int
        Hashed now; all others were known.
    seconds : float
        Altogether.
    """

    files: int = 0
    seconds: float = 0.0


NOTHING_READ: Final = Hashed()


@dataclass(frozen=True)
class _Wanted:
    """Bytes whose hash is wanted: those of an image, or a file, or some spans of one."""

    key: FileKey
    path: bytes
    spans: Spans = ()
    row: Any = None
    """Of the list of samples, where an image is wanted."""


def hash_contents(
    table: pd.DataFrame,
    foreground: Foreground | None,
    store: ContentStore,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Hashed:
    """Write into a list of samples what their files hold: ``sha256`` and ``mask_sha256``.

    Both are hexadecimal digits; "" where nothing could be read.

    Parameters
    ----------
    table : DataFrame
        From :func:`~audit.dataset.sample_table.samples_table`, its foregrounds stamped; changed in
        place.
    foreground : Foreground or None
        Of the audit.
    store : ContentStore
        Is asked first, and told what it did not know.
    on_progress : callable
        Called with so many more samples done.
    """
    began, files = time.monotonic(), 0
    images: list[str] = []
    masks: list[str] = []
    rows: Iterator[Any] = table.itertuples()
    with ThreadPoolExecutor(min(_THREADS, 2 * (os.cpu_count() or 1))) as threads:
        while some := list(itertools.islice(rows, _AT_ONCE)):
            to_hash = _by_threads(threads, lambda row: _wanted(row, foreground), some)
            hashes, read = _hashes(itertools.chain.from_iterable(to_hash), store, threads)
            files += read
            for row, (first, *others) in zip(some, to_hash, strict=True):
                images.append(hashes.get(first.key, ""))
                masks.append(_together([hashes.get(o.key, "") for o in others], row.annotation))
            on_progress(len(some))
    table["sha256"], table["mask_sha256"] = images, masks
    return Hashed(files, time.monotonic() - began)


def _wanted(row: Any, foreground: Foreground | None) -> list[_Wanted]:
    """What has to be hashed of a sample: its image, then the files of its foreground."""
    found = [_Wanted(_key(row.path, row.member), row.path, row=row)]
    if foreground is None:
        return found
    sample = sample_of(row)
    for path in foreground.files(sample):
        written = sample.annotation
        spans = written.spans if written is not None and written.path == path else ()
        name = os.fsencode(path.absolute())
        found.append(_Wanted(_key(name, json.dumps(spans) if spans else ""), name, spans))
    return found


def _by_threads(
    threads: ThreadPoolExecutor, function: Callable[[T], R], items: Sequence[T]
) -> list[R]:
    """Call a function for each item, some at a time: handing on costs more than a call."""
    some = [items[start : start + _TOGETHER] for start in range(0, len(items), _TOGETHER)]
    return [
        one for results in threads.map(lambda few: [*map(function, few)], some) for one in results
    ]


def _key(path: bytes, part: str) -> FileKey:
    try:
        return key_of(path, part)
    except OSError:
        return FileKey(b"", -1, -1, -1)


def _hashes(
    to_hash: Iterable[_Wanted], store: ContentStore, threads: ThreadPoolExecutor
) -> tuple[dict[FileKey, str], int]:
    """The hash of each key that can be read, and how many had to be read for it."""
    # One file may be named by many samples, and is read once.
    each = {one.key: one for one in to_hash if one.key.name}
    known = dict(zip(each, store.get(list(each)), strict=True))
    missing = [one for key, one in each.items() if not known[key]]
    apart = [one for one in missing if not _is_in_order(one)]
    in_order = [one for one in missing if _is_in_order(one)]
    hashed = [*_by_threads(threads, _hashed, apart), *map(_hashed, in_order)]
    read = zip([*apart, *in_order], hashed, strict=True)
    found = {one.key: sha256 for one, sha256 in read if sha256}
    store.put(found.items())
    return known | found, len(missing)


def _is_in_order(one: _Wanted) -> bool:
    return one.row is not None and one.row.member.startswith(_IN_ORDER)


def _hashed(one: _Wanted) -> str:
    """Sha256 of the bytes; "" where they cannot be read, which the decoding children say better."""
    digest = hashlib.sha256()
    try:
        if one.row is not None and one.row.member:
            digest.update(read_member(sample_of(one.row)))
        else:
            path = Path(os.fsdecode(one.path))
            # Of a larger image nothing will be decoded.
            if check_file(path) > MAX_BYTES and one.row is not None:
                return ""
            for piece in _blocks(path, one.spans):
                digest.update(piece)
    except (OSError, SampleError):
        return ""
    return digest.hexdigest()


def _blocks(path: Path, spans: Spans) -> Iterator[bytes]:
    with path.open("rb") as opened:
        for start, length in spans:
            opened.seek(start)
            yield opened.read(min(length, MAX_BYTES))
        while not spans and (piece := opened.read(2**20)):
            yield piece


def _together(hashes: list[str], annotation: str) -> str:
    """One hash for the files of a foreground, and how they are read; "" where there is none."""
    content = json.loads(annotation) if annotation else {}
    how = (
        [content["values"], content["size"]] if content.get("values") or content.get("size") else []
    )
    if len(hashes) < 2 and not how:
        return hashes[0] if hashes else ""
    return hashlib.sha256(json.dumps([hashes, how]).encode()).hexdigest()

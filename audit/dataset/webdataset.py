"""Reader of WebDataset's shards: tar files in which the parts of a sample share a name."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from audit.dataset.image_folder import IMAGE_SUFFIXES
from audit.dataset.paths import found_there
from audit.dataset.samples import Sample, Skipped
from audit.errors import DatasetError

_LABELS = ("label", "class", "cls", "class_name", "label_name")
_LARGEST_TEXT = 1 << 20
_MOST_SHARDS = 100_000
_BRACES = re.compile(r"\{(?:(\d{1,9})\.\.(\d{1,9})|([^{}]*,[^{}]*))\}")


def webdataset(
    root: Path, *, shards: str = "*.tar", label_key: str | None = None
) -> Iterator[Sample | Skipped]:
    """Read images and labels of uncompressed tar files; nothing is unpacked.

    Parameters
    ----------
    root : Path
        The folder of the shards; or one shard.
    shards : str
        Pattern of their names below `root`: ``*``, or braces such as ``train-{000..146}.tar``.
    label_key : str, optional
        Key of the class in the ``.json`` part; None: the part ``.cls`` or ``.txt``, else ``label``
        and the like.

    Raises
    ------
    DatasetError
        There is no shard, or one that is no uncompressed tar.
    """
    patterns = expand_braces(shards)
    paths = [root] if root.is_file() else sorted({p for one in patterns for p in root.glob(one)})
    if not paths:
        raise DatasetError(
            f"dataset.shards: no {shards} in {root}; {found_there(root, '*')}. Write a pattern of "
            "the shards' names."
        )
    for path in paths:
        try:
            with tarfile.open(path, "r:") as opened:
                yield from _one(path, opened, label_key)
        except (tarfile.TarError, OSError) as error:
            raise DatasetError(
                f"dataset.shards: {path.name} is no uncompressed tar ({error}). Is it compressed? "
                "gunzip makes of a .tar.gz one that can be read in places; else copy it again."
            ) from error


def expand_braces(pattern: str) -> list[str]:
    """The names that braces stand for, as WebDataset writes them.

    Examples
    --------
    >>> expand_braces("train-{08..10}.tar")
    ['train-08.tar', 'train-09.tar', 'train-10.tar']
    >>> expand_braces("{a,b}.tar"), expand_braces("*.tar")
    (['a.tar', 'b.tar'], ['*.tar'])
    """
    found = _BRACES.search(pattern)
    if found is None:
        return [pattern]
    first, last, words = found.groups()
    parts = words.split(",") if words is not None else _counted(first, last)
    before, after = pattern[: found.start()], pattern[found.end() :]
    return [name for part in parts for name in expand_braces(f"{before}{part}{after}")]


def _counted(first: str, last: str) -> list[str]:
    if int(last) - int(first) >= _MOST_SHARDS:
        raise DatasetError(
            f"dataset.shards: {{{first}..{last}}} stands for more than {_MOST_SHARDS:,} "
            "names. Write fewer, or a pattern with *."
        )
    return [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]


def _one(path: Path, opened: tarfile.TarFile, label_key: str | None) -> Iterator[Sample | Skipped]:
    key, parts = "", dict[str, tarfile.TarInfo]()
    for member in opened:
        if not member.isreg() or member.issparse():
            continue
        name = PurePosixPath(member.name)
        stem, _, ending = name.name.partition(".")
        this = str(name.parent / stem)
        if this != key and parts:
            yield _sample(path, opened, key, parts, label_key)
            parts = {}
        key = this
        parts[f".{ending.lower()}"] = member
    if parts:
        yield _sample(path, opened, key, parts, label_key)


def _sample(
    path: Path,
    opened: tarfile.TarFile,
    key: str,
    parts: dict[str, tarfile.TarInfo],
    label_key: str | None,
) -> Sample | Skipped:
    sample_id = f"{path.name}/{key}"
    image = next((ending for ending in parts if ending in IMAGE_SUFFIXES), None)
    if image is None:
        return Skipped(sample_id, "NO_IMAGE", f"no image among its parts {', '.join(parts)}")
    label = _label(opened, parts, label_key)
    if not label:
        return Skipped(sample_id, "NO_LABEL", f"no label among its parts {', '.join(parts)}")
    where = parts[image]
    member = ("bytes", where.offset_data, where.size)
    return Sample(f"{sample_id}{image}", path, label, member=member)


def _label(
    opened: tarfile.TarFile, parts: dict[str, tarfile.TarInfo], label_key: str | None
) -> str:
    if label_key is None:
        for ending in (".cls", ".cls.txt", ".txt"):
            if ending in parts:
                return _text(opened, parts[ending]).strip()
    try:
        described: Any = json.loads(_text(opened, parts[".json"]))
        keys = _LABELS if label_key is None else (label_key,)
        found = next((described[key] for key in keys if described.get(key) is not None), "")
    except (KeyError, ValueError, AttributeError, RecursionError):
        return ""
    return str(found).strip()


def _text(opened: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = opened.extractfile(member) if member.size <= _LARGEST_TEXT else None
    return file.read().decode("utf-8", "replace") if file else ""

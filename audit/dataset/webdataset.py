"""Reader of WebDataset's shards: tar files in which the parts of a sample share a name."""

from __future__ import annotations

import json
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


def webdataset(
    root: Path, *, shards: str = "*.tar", label_key: str | None = None
) -> Iterator[Sample | Skipped]:
    """Read images and labels of uncompressed tar files; nothing is unpacked.

    Parameters
    ----------
    root : Path
        The folder of the shards; or one shard.
    shards : str
        Pattern of their names below `root`.
    label_key : str, optional
        Key of the class in the ``.json`` part; None: the part ``.cls`` or ``.txt``, else ``label``
        and the like.

    Raises
    ------
    DatasetError
        There is no shard, or one that is no uncompressed tar.
    """
    paths = [root] if root.is_file() else sorted(root.glob(shards))
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

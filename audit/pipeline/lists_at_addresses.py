"""What readers open while they list a dataset, which is fetched before they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from audit.dataset.huggingface import opened_files
from audit.dataset.webdataset import expand_braces
from audit.errors import ManifestError
from audit.manifest import DatasetSection


class _Opened(NamedTuple):
    """How the files are called that a reader opens.

    Parameters
    ----------
    option : str
        The option that names some of them; "": none does.
    usual : tuple of str
        Patterns of these without that option; a ``*`` stands for folders, too.
    always : tuple of str
        Patterns of the others.
    then : callable, optional
        Gives those that can be told only when all names and the files above are there.
    """

    option: str = ""
    usual: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    then: Callable[[Path, Mapping[str, object]], list[Path]] | None = None


_OPENED: Mapping[str, _Opened] = {
    "image_folder": _Opened(),
    "csv_index": _Opened("index", ("index.csv", "index.parquet")),
    "coco": _Opened("annotations", ("*.json",)),
    "voc": _Opened(always=("Annotations/*.xml", "ImageSets/*.txt", "labelmap.txt")),
    "yolo": _Opened("data", ("*.yaml", "*.yml"), ("*.txt",)),
    "huggingface": _Opened(always=("*state.json", "*dataset_info.json"), then=opened_files),
    "webdataset": _Opened("shards", ("*.tar",)),
}


class Lists(NamedTuple):
    """What is fetched of a dataset before it can be listed.

    Parameters
    ----------
    named : tuple of str
        Patterns of files that name others, in whose place a root may stand that is a file.
    beside : tuple of str
        Patterns of further files.
    then : callable
        Takes the root, gives the files that are to be fetched after those.
    """

    named: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    then: Callable[[Path], list[Path]] = lambda _: []


def lists_of(dataset: DatasetSection) -> Lists:
    """What the reader of a dataset opens while it lists.

    Raises
    ------
    ManifestError
        This reader reads folders alone.
    """
    opened = _OPENED.get(dataset.reader)
    if opened is None:
        raise ManifestError(
            f"dataset.root: the reader {dataset.reader} reads folders of this computer only. "
            f"From an address read {', '.join(_OPENED)}; or copy the dataset to a disk."
        )
    declared, further = dataset.options.get(opened.option), opened.then
    named = tuple(expand_braces(declared)) if isinstance(declared, str) else opened.usual
    if further is None:
        return Lists(named, opened.always)
    return Lists(named, opened.always, lambda root: further(root, dataset.options))


def fits(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a name below a root is one of the patterns."""
    return any(name == pattern or fnmatch(name, pattern) for pattern in patterns)

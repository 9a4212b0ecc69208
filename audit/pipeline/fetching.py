"""What a manifest names by addresses is fetched: lists and tables first, then what is audited."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from audit.dataset.outlines import Foreground, own_files
from audit.dataset.sample_table import sample_of
from audit.errors import DatasetError, ManifestError
from audit.manifest import Manifest
from audit.pipeline.lists_at_addresses import Lists, fits, lists_of
from audit.pipeline.progress import Progress
from audit.remote.addresses import folder_of_mirrors, is_address, lists_files
from audit.remote.cache import in_words, make_room
from audit.remote.mirror import Mirror, was_fetched
from audit.remote.stores import Store
from audit.secrets import guarded

_log = logging.getLogger(__name__)

_FILES = (".csv", ".tsv", ".parquet", ".jsonl", ".json", ".tar", ".yaml", ".yml")


class Fetcher:
    """Mirrors of all that a manifest names by addresses; none where it names paths.

    Parameters
    ----------
    manifest : Manifest
        Of the audit.
    progress : Progress
        Is told how many files were fetched.
    """

    def __init__(self, manifest: Manifest, progress: Progress) -> None:
        self._manifest, self._progress = manifest, progress
        self._mirrors: list[Mirror] = []

    @property
    def knows_names(self) -> bool:
        """Whether it is known which images there are before they are fetched."""
        root = self._manifest.dataset.root
        return not is_address(root) or lists_files(root)

    def fetch_declared(self) -> None:
        """Fetch what is needed before anything can be listed: tables, weights, and all names.

        Raises
        ------
        ManifestError
            An address stands where none can be read.
        DatasetError
            A store does not answer.
        """
        named = _addresses(self._manifest)
        if (root := named.pop("foreground.root", None)) is not None:
            self._list(root, "foreground.root", Lists())
        if (root := named.pop("dataset.root", None)) is not None:
            self._list(root, "dataset.root", lists_of(self._manifest.dataset))
        # Last: of what a bucket does not list no file stays in its folder.
        for key, address in named.items():
            self._fetch_file(address, key)

    def fetch_missing(
        self, table: pd.DataFrame, open_masks: Callable[[], Foreground | None]
    ) -> None:
        """Fetch what an audit opens where another machine than this one began it.

        Where all of it is here no store is asked: what has changed there since is none of this run.

        Parameters
        ----------
        table : DataFrame
            The list of samples. An image that was nowhere is not missed.
        open_masks : callable
            Opens the foregrounds, whose folder has to be there.
        """
        manifest, start = self._manifest, f"{folder_of_mirrors()}{os.sep}"
        paths = {key: manifest.path(text, key) for key, text in _addresses(manifest).items()}
        if not paths:
            return
        roots = [paths.pop(key) for key in ("dataset.root", "foreground.root") if key in paths]
        if all(root.exists() for root in roots) and all(map(was_fetched, paths.values())):
            listed = _files_of(table[table["size"] >= 0], open_masks())
            if all(was_fetched(path) for path in listed if path.startswith(start)):
                return
        self.fetch_declared()
        self.fetch_listed(table, open_masks())

    def fetch_listed(self, table: pd.DataFrame, foreground: Foreground | None) -> bool:
        """Fetch the images of a list of samples, and the files of their foregrounds.

        Returns
        -------
        bool
            Whether any of them lies in a mirror.

        Raises
        ------
        DatasetError
            A store does not answer, or there is too little room.
        """
        named: dict[Mirror, dict[str, None]] = {mirror: {} for mirror in self._mirrors}
        for path in _files_of(table, foreground) if named else ():
            for mirror, names in named.items():
                start = f"{mirror.folder}{os.sep}"
                if path.startswith(start):
                    names[path[len(start) :]] = None
                    break
        for mirror, names in named.items():
            if names and not lists_files(mirror.store.address):
                with self._progress.step("looking up", len(names)):
                    mirror.bring_up_to_date(names, partial(self._progress.advance, "looking up"))
        self._fetch(named)
        return any(named.values())

    def _list(self, address: str, key: str, lists: Lists) -> None:
        """Mirror a folder, or that of a table, and fetch what is opened while it is listed."""
        named = lists.named
        folder = self._manifest.path(address, key)
        if "?" in address:
            raise ManifestError(f"{key}: a folder has no signed address; leave out what follows ?")
        if PurePosixPath(address).suffix.lower() in _FILES:
            address, name = address.rstrip("/").rsplit("/", 1)
            folder, named = folder.parent, (name,)
        mirror, patterns = Mirror(Store(address, key), folder), (*named, *lists.beside)
        if lists_files(address):
            mirror.bring_up_to_date()
            opened = [name for name in mirror.names() if fits(name, patterns)] if patterns else []
        else:
            opened = self._by_name(mirror, key, patterns)
        self._fetch({mirror: dict.fromkeys(opened)})
        further = [str(path.relative_to(folder)) for path in lists.then(folder)]
        self._fetch({mirror: dict.fromkeys(further)})
        self._mirrors.append(mirror)

    def _by_name(self, mirror: Mirror, key: str, patterns: tuple[str, ...]) -> list[str]:
        if key != "dataset.root" or not patterns or any("*" in name for name in patterns):
            instead = "its files by names, in the column `mask` of the table"
            if key == "dataset.root":
                instead = (
                    "its table: csv_index; coco with annotations: and images:; or webdataset with "
                    "shards: such as train-{000..146}.tar"
                )
            raise ManifestError(
                f"{key}: a web server does not say which files it has. Name {instead}. A bucket "
                "(s3://, gs://) lists its files."
            )
        mirror.bring_up_to_date(patterns)
        images = self._manifest.dataset.options.get("images")
        if isinstance(images, str) and ".." not in Path(images).parts:
            (mirror.folder / images.lstrip("/")).mkdir(parents=True, exist_ok=True)
        return list(patterns)

    def _fetch_file(self, address: str, key: str) -> None:
        path = self._manifest.path(address, key)
        mirror = Mirror(Store(address, key, path.name), path.parent)
        mirror.bring_up_to_date([path.name])
        if not path.exists():
            raise DatasetError(
                f"{key}: nothing is at {guarded(address)}. Is it written as the store has it?"
            )
        self._fetch({mirror: {path.name: None}})

    def _fetch(self, named: Mapping[Mirror, Mapping[str, None]]) -> None:
        missing = {mirror: mirror.to_fetch(names) for mirror, names in named.items()}
        taken = {
            mirror.folder: (mirror.bytes_of(names), sum(missing[mirror].values()))
            for mirror, names in named.items()
            if names
        }
        if not taken:
            return
        make_room(taken, self._manifest.run.cache_gib)
        count = sum(map(len, missing.values()))
        if not count:
            return
        size = in_words(sum(sum(sizes.values()) for sizes in missing.values()))
        place = guarded(str(folder_of_mirrors()))
        _log.warning("%d files, %s, are fetched from addresses into %s", count, size, place)
        with self._progress.step("fetching", count):
            for mirror, sizes in missing.items():
                mirror.fetch(sizes, partial(self._progress.advance, "fetching"))


def _addresses(manifest: Manifest) -> dict[str, str]:
    """All addresses of a manifest that stand for what an audit reads, by key."""
    named = {
        "dataset.root": manifest.dataset.root,
        "foreground.root": manifest.foreground.options.get("root"),
        "model.weights": manifest.model.options.get("weights"),
        "model.classes": manifest.model.classes,
        "dataset.only": manifest.dataset.only,
    }
    return {key: text for key, text in named.items() if isinstance(text, str) and is_address(text)}


def _files_of(table: pd.DataFrame, foreground: Foreground | None) -> Iterator[str]:
    rows: Iterator[Any] = table.itertuples()
    for row in rows:
        yield os.path.normpath(os.fsdecode(row.path))
        if foreground is not None:
            sample = sample_of(row)
            # What is not here yet is named by the sample alone.
            for path in (*own_files(sample), *foreground.files(sample)):
                yield os.path.normpath(path)

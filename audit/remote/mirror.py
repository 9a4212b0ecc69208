"""Folders of the cache that hold what a store lists: all names, and the bytes that were fetched."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from audit.remote.addresses import is_plain_name
from audit.remote.stores import Held, Store

_log = logging.getLogger(__name__)

AT_ONCE = 16
"""Files that are fetched at a time."""
_BATCH = 1024
_UNREAD, _READ = 0o200, 0o644

Advance = Callable[[int], None]


class Mirror:
    """The files of one address.

    Parameters
    ----------
    store : Store
        Of the address.
    folder : Path
        Where in the cache they lie; see :func:`audit.remote.addresses.mirrored_path`.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder

    def bring_up_to_date(
        self, names: Collection[str] | None = None, advance: Advance = lambda _: None
    ) -> None:
        """Give the folder the names, sizes and stamps that the store has now.

        What changed since it was fetched has no bytes afterwards; what is gone is removed.

        Parameters
        ----------
        names : collection of str, optional
            Of the files to look at; None: all that the store lists, and no other file stays.
        advance : callable
            Called with so many more of `names` looked at.

        Raises
        ------
        DatasetError
            The store does not answer.
        """
        there = self._looked_up(names, advance) if names is not None else self.store.listing()
        with _locked(self.folder):
            here = dict(_files_below(str(self.folder))) if names is None else self._here(there)
            for name in here.keys() - {name for name, held in there.items() if held}:
                os.unlink(path := self.folder / name)
                # A file may have taken the name of a folder that is empty now.
                with suppress(OSError):
                    os.removedirs(path.parent)
            made: set[str] = set()
            for name, held in there.items():
                if held and _can_be_path(name) and not _is_same(here.get(name), held):
                    self._note(name, held, made)

    def _looked_up(self, names: Collection[str], advance: Advance) -> dict[str, Held | None]:
        found: dict[str, Held | None] = {}

        def one(name: str) -> None:
            found[name] = self.store.look(name)
            advance(1)

        _by_threads(one, [name for name in names if _can_be_path(name)])
        return found

    def _here(self, names: Iterable[str]) -> dict[str, Held]:
        found = {}
        for name in names:
            with suppress(OSError):
                found[name] = _held(os.lstat(self.folder / name))
        return found

    def _note(self, name: str, held: Held, made: set[str]) -> None:
        path = os.path.join(self.folder, name)
        folder = os.path.dirname(path)
        try:
            if folder not in made:
                os.makedirs(folder, exist_ok=True)
                made.add(folder)
            if os.path.lexists(path):
                os.unlink(path)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _UNREAD)
        except (FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError):
            # A store of objects may have both `a` and `a/b`; a disk may not.
            _log.warning("%s: left out, since it is a file and a folder at once", name)
            return
        try:
            os.ftruncate(handle, max(0, held.size))
        finally:
            os.close(handle)
        os.utime(path, (held.second, held.second))

    def names(self) -> Iterator[str]:
        """All files of the folder, below it."""
        return (name for name, _ in _files_below(str(self.folder)))

    def bytes_of(self, names: Iterable[str]) -> int:
        """What those of some files take that the store has."""
        return sum(held.size for held in self._here(names).values())

    def to_fetch(self, names: Iterable[str]) -> dict[str, int]:
        """Those of some files that the store has and that were not fetched, with their sizes."""
        found = {}
        for name in names:
            with suppress(OSError):
                looked_at = os.lstat(self.folder / name)
                if not _has_bytes(looked_at):
                    found[name] = looked_at.st_size
        return found

    def fetch(self, names: Collection[str], advance: Advance = lambda _: None) -> None:
        """Fetch files, some at a time; one that the store has no more is removed.

        Parameters
        ----------
        names : collection of str
            From :meth:`to_fetch`.
        advance : callable
            Called with so many more of them done.

        Raises
        ------
        DatasetError
            The store does not answer; what was fetched stays.
        """

        def one(name: str) -> None:
            self._fetch_one(name)
            advance(1)

        _by_threads(one, names)

    def _fetch_one(self, name: str) -> None:
        path = self.folder / name
        temporary = path.with_name(f".fetching-{os.getpid()}-{threading.get_ident()}")
        try:
            noted = _held(os.lstat(path))
            # Of a size that was not said, nothing was noted.
            digest = self.store.fetch(name, temporary, noted.size or -1)
            if digest is None:
                path.unlink(missing_ok=True)
                return
            second = noted.second if noted.second >= 0 else int(digest[:7], 16)
            os.utime(temporary, (second, second))
            temporary.chmod(_READ)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def was_fetched(path: str | Path) -> bool:
    """Whether a file of a mirror is here with its bytes, and not its name alone."""
    try:
        return _has_bytes(os.lstat(path))
    except OSError:
        return False


def _is_same(here: Held | None, there: Held) -> bool:
    """Whether a file is the one that the store has; one without a version never is."""
    if here is None or there.second < 0:
        return False
    return there.second == here.second and there.size in (-1, here.size)


def _held(found: os.stat_result) -> Held:
    return Held(found.st_size, int(found.st_mtime))


def _has_bytes(found: os.stat_result) -> bool:
    return bool(stat.S_IMODE(found.st_mode) & 0o400)


def _by_threads(one: Callable[[str], None], names: Collection[str]) -> None:
    waiting = iter(names)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetching") as threads:
        # Few at a time, so that the first error ends the work.
        while some := list(islice(waiting, _BATCH)):
            futures = [threads.submit(one, name) for name in some]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                threads.shutdown(wait=True, cancel_futures=True)
                raise


def _can_be_path(name: str) -> bool:
    return all(map(is_plain_name, name.split("/")))


def _files_below(folder: str, short: str = "") -> Iterator[tuple[str, Held]]:
    """Names, sizes and stamps of all files below a folder; links are none of ours."""
    try:
        with os.scandir(folder) as opened:
            entries = list(opened)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(entry.path, f"{short}{entry.name}/")
        else:
            yield f"{short}{entry.name}", _held(entry.stat(follow_symlinks=False))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time gives a mirror its names: workers of one node open the same audit."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder.with_name(f".{folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

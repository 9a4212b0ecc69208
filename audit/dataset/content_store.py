"""What files held when they were last read: sha256 by path and stamps, in the user's cache.

A file is hashed once and again only where its size, its mtime or its ctime is another; whoever
sets back the mtime of a changed file cannot set back its ctime. The store lies in the user's cache
and not in a run folder: `check`, the next night and another audit of the same files all ask it. It
is a convenience: where it cannot be read or written, files are hashed anew.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from audit.dataset.outline_store import cache_folder

KEPT_DAYS = 90
"""What nobody asked for in so many days is forgotten."""
_SEEN_AGAIN = 7
_TABLE = (
    "CREATE TABLE IF NOT EXISTS contents (name BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, "
    "ctime_ns INTEGER, sha256 BLOB, day INTEGER) WITHOUT ROWID"
)
_log = logging.getLogger(__name__)


class FileKey(NamedTuple):
    """A file, or a part of one, as it was when it was looked at.

    Parameters
    ----------
    name : bytes
        Its absolute path; for a part, what says which.
    size, mtime_ns, ctime_ns : int
        Of the file.
    """

    name: bytes
    size: int
    mtime_ns: int
    ctime_ns: int


def key_of(path: bytes, part: str = "") -> FileKey:
    """The key of a file as it is now, by its absolute path.

    Raises
    ------
    OSError
        It is not there.
    """
    found = os.stat(path)
    name = path + b"\0" + part.encode() if part else path
    return FileKey(name, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class ContentStore:
    """Sha256 by :class:`FileKey`; several processes may use it at once.

    Parameters
    ----------
    path : Path, optional
        A SQLite file; None: in the user's cache.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_folder().parent / "contents.sqlite"

    def get(self, keys: Sequence[FileKey]) -> list[str]:
        """The hash of each file as hexadecimal digits; "" where it is not known."""
        if not self.path.is_file():
            return [""] * len(keys)
        try:
            with closing(self._opened()) as opened:
                return self._known(opened, keys)
        except (sqlite3.Error, OSError) as error:
            self._forget(error)
            return [""] * len(keys)

    def _known(self, opened: sqlite3.Connection, keys: Sequence[FileKey]) -> list[str]:
        today, asked, again = _today(), opened.cursor(), []
        found: list[str] = []
        for key in keys:
            row = asked.execute(
                "SELECT size, mtime_ns, ctime_ns, sha256, day FROM contents WHERE name = ?",
                (key.name,),
            ).fetchone()
            known = row is not None and row[:3] == (key.size, key.mtime_ns, key.ctime_ns)
            found.append(row[3].hex() if known else "")
            if known and today - row[4] >= _SEEN_AGAIN:
                again.append((today, key.name))
        if again:
            with opened:
                opened.executemany("UPDATE contents SET day = ? WHERE name = ?", again)
        return found

    def put(self, hashes: Iterable[tuple[FileKey, str]]) -> None:
        """Keep hashes; what a disk refuses is hashed again next time."""
        today = _today()
        rows = [(*key, bytes.fromhex(sha256), today) for key, sha256 in hashes]
        if not rows:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._opened()) as opened, opened:
                opened.execute(_TABLE)
                opened.executemany("INSERT OR REPLACE INTO contents VALUES (?,?,?,?,?,?)", rows)
                opened.execute("DELETE FROM contents WHERE day < ?", (today - KEPT_DAYS,))
        except (sqlite3.Error, OSError) as error:
            self._forget(error)

    def _opened(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=30)

    def _forget(self, error: Exception) -> None:
        """Begin anew where the file is none of SQLite's any more; else say why it is of no use."""
        _log.warning("%s: of no use (%s); files are hashed anew", self.path.name, error)
        # A full disk or another's lock are errors of this kind too, and no reason to begin anew.
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError
        ):
            self.path.unlink(missing_ok=True)


def _today() -> int:
    return int(time.time() // 86_400)

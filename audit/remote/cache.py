"""How much all mirrors may hold together, and which of them make room."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

from audit.errors import DatasetError
from audit.remote.addresses import folder_of_mirrors
from audit.secrets import without_home
from audit.writing import write_json

GIB = 2**30
_IN_USE_DAYS = 7
"""What was opened within so many days may be in the middle of a run, and stays."""


class Use(TypedDict):
    """When a mirror was last used, and what it held then."""

    folder: str
    bytes: int
    day: int


def make_room(wanted: Mapping[Path, tuple[int, int]], most: float) -> None:
    """Remove mirrors, the longest unused first, until all hold no more than they may.

    Parameters
    ----------
    wanted : mapping of Path to (bytes, bytes)
        Folders of the mirrors that this audit needs, which stay; what each will hold of it, and
        how much of that is yet to be fetched.
    most : float
        GiB that all mirrors may hold together.

    Raises
    ------
    DatasetError
        This audit alone needs more, or the disk has less.
    """
    home = folder_of_mirrors()
    needed, missing = (sum(part) for part in zip(*wanted.values(), strict=True))
    if needed > most * GIB:
        raise DatasetError(
            f"run.cache_gib: the files of this audit take {in_words(needed)}, and the cache may "
            f"hold {most:g} GiB. Raise run.cache_gib, audit fewer (--limit, dataset.only), or copy "
            "the files to a disk of this computer and name that."
        )
    today = int(time.time() // 86_400)
    others = [u for u in _uses(home) if not any(_overlap(Path(u["folder"]), one) for one in wanted)]
    room = int(most * GIB) - needed
    for use in sorted(others, key=lambda u: -u["day"]):
        room -= use["bytes"]
        if room >= 0:
            continue
        if today - use["day"] < _IN_USE_DAYS:
            raise DatasetError(
                f"run.cache_gib: the files of this audit take {in_words(needed)}, and together "
                f"with those that other audits opened within {_IN_USE_DAYS} days more than "
                f"{most:g} GiB. Raise run.cache_gib, or remove what is done with from "
                f"{without_home(str(home))}."
            )
        shutil.rmtree(use["folder"], ignore_errors=True)
        _note_of(home, Path(use["folder"])).unlink(missing_ok=True)
    for folder, (size, _) in wanted.items():
        content = Use(folder=str(folder), bytes=size, day=today)
        write_json(_note_of(home, folder), content)
    free = shutil.disk_usage(home).free
    if missing > free:
        raise DatasetError(
            f"{in_words(missing)} are yet to be fetched, and the disk of {without_home(str(home))} "
            f"has {in_words(free)} free. Make room, audit fewer (--limit, dataset.only), or let "
            "SALIENCY_AUDIT_CACHE name a folder on a larger disk."
        )


def in_words(size: int) -> str:
    """Bytes, for people.

    Examples
    --------
    >>> in_words(3 * 2**29), in_words(2**18)
    ('1.5 GiB', '0.2 MiB')
    """
    return f"{size / GIB:.1f} GiB" if size >= GIB / 10 else f"{size / 2**20:.1f} MiB"


def _uses(home: Path) -> list[Use]:
    found = []
    for path in (home / ".used").glob("*.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(path.read_text())
            folder = os.path.normpath(content["folder"])
            # What is removed is below here, whatever a file says.
            if home in Path(folder).parents:
                found.append(Use(folder=folder, bytes=content["bytes"], day=content["day"]))
    return found


def _note_of(home: Path, folder: Path) -> Path:
    return home / ".used" / f"{hashlib.sha256(str(folder).encode()).hexdigest()[:24]}.json"


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)

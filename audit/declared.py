"""Paths and small text files that a manifest names: resolved, and read within bounds."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from audit.errors import InputError, ManifestError
from audit.remote.addresses import mirrored_path


def declared_path(folder: Path, text: str | Path, key: str) -> Path:
    """Resolve a path of the manifest against its folder; nothing need be there.

    Parameters
    ----------
    folder : Path
        Of the manifest.
    text : str or Path
        As written; ``~`` is the home; of an address the place in the cache where it is mirrored.
    key : str
        Where in the manifest it stands, for messages.

    Raises
    ------
    ManifestError
        No path at all: a NUL in it, too long, the home of nobody, or links in a circle.
    """
    shown = str(text) if len(str(text)) <= 80 else f"{str(text)[:79]}…"
    try:
        named = mirrored_path(str(text), key) if "://" in str(text) else Path(text).expanduser()
        path = (folder / named).resolve()
        try:
            os.stat(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            # Whether it may be read is the business of who reads it.
            if not isinstance(error, (PermissionError, NotADirectoryError)):
                raise
    except (OSError, ValueError, RuntimeError) as error:
        message = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ManifestError(
            f"{key}: no path that can be: {shown!r} ({message}). Write one relative to the "
            "manifest."
        ) from error
    return path


def read_declared(
    path: Path, key: str, limit: int, kind: type[InputError] = ManifestError
) -> bytes:
    """Read a regular file within a bound; a pipe or a device would keep whoever opens it.

    Parameters
    ----------
    path : Path
        Links are followed.
    key : str
        What to call it in a message.
    limit : int
        Bytes, at most.
    kind : type
        Of the error to raise.

    Raises
    ------
    InputError
        Of the given kind: missing, no regular file, too large, or unreadable.
    """
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            what = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
            raise kind(f"{key}: expected a regular file, found {what}: {path.name}")
        if found.st_size > limit:
            raise kind(
                f"{key}: {path.name} has {found.st_size:,} bytes, expected at most {limit:,}. Is "
                "it the file that was meant?"
            )
        with path.open("rb") as opened:
            return opened.read(limit)
    except OSError as error:
        raise kind(
            f"{key}: {path.name} cannot be read ({error.strerror}). Expected a file, named "
            f"relative to the manifest; correct the name, or its permissions."
        ) from error

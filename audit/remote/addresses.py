"""Which texts of a manifest are addresses, and where in the cache their files lie."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from audit.errors import ManifestError
from audit.secrets import guarded

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_BY_NAME = ("http", "https")
_LONGEST = 255


def user_cache() -> Path:
    """The user's cache: ``$SALIENCY_AUDIT_CACHE``, or a folder below ``$XDG_CACHE_HOME``."""
    named = os.environ.get("SALIENCY_AUDIT_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    return Path(named) if named else home / "saliency-audit"


def is_address(text: str) -> bool:
    """Whether a text names a store, and not a path of this computer.

    Examples
    --------
    >>> is_address("s3://bucket/images"), is_address("images"), is_address("file:///srv/images")
    (True, False, False)
    """
    return bool(_ADDRESS.match(text)) and not text.lower().startswith("file://")


def lists_files(address: str) -> bool:
    """Whether the store can say what it holds; a web server only gives what it is asked for.

    Examples
    --------
    >>> lists_files("gs://bucket/images"), lists_files("https://host/images")
    (True, False)
    """
    return urlsplit(address).scheme.lower() not in _BY_NAME


def mirrored_path(text: str, key: str) -> Path:
    """The path of this computer that a text of the manifest stands for; nobody is called.

    Parameters
    ----------
    text : str
        An address, or ``file://`` and a path.
    key : str
        Where in the manifest it stands, for messages.

    Raises
    ------
    ManifestError
        It holds a password, or is no address of one file or folder.
    """
    try:
        parts = urlsplit(text)
        is_told = parts.username is not None or parts.password is not None
    except ValueError as error:
        raise ManifestError(f"{key}: no address: {guarded(text)[:80]!r} ({error})") from error
    if parts.scheme.lower() == "file":
        return Path(unquote(parts.path))
    if is_told:
        raise ManifestError(
            f"{key}: the address holds a user or a password: {guarded(text)[:80]!r}. Leave them to "
            "the environment (such as AWS_ACCESS_KEY_ID) or to the configuration of fsspec."
        )
    names = [name for name in f"{parts.netloc}/{parts.path}".split("/") if name]
    # Of an address that is signed anew each time the file stays the same, or is fetched again.
    query = f"?{parts.query}" if parts.query else ""
    if "::" in text or not names or not all(map(is_plain_name, names)):
        raise ManifestError(
            f"{key}: no address of a file or folder: {guarded(text)[:80]!r}. Expected one such as "
            "s3://bucket/folder."
        )
    if query:
        stem, ending = os.path.splitext(names[-1])
        names[-1] = f"{stem}-{hashlib.sha256(query.encode()).hexdigest()[:12]}{ending}"
    return folder_of_mirrors().joinpath(parts.scheme.lower(), *names)


def folder_of_mirrors() -> Path:
    """The folder of the cache below which all mirrors lie."""
    return user_cache().resolve() / "remote"


def is_plain_name(name: str) -> bool:
    """Whether a part of an object's name can be the name of a file, and leads nowhere else.

    Examples
    --------
    >>> is_plain_name("a b.png"), is_plain_name(".."), is_plain_name("")
    (True, False, False)
    """
    return name not in ("", ".", "..") and "\0" not in name and len(name.encode()) <= _LONGEST

"""Stores that fsspec reaches: opened, listed, and read with patience."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

from audit.cancellation import stop_if_asked
from audit.errors import AuditError, DatasetError
from audit.remote.addresses import lists_files
from audit.secrets import guarded
from audit.writing import storage_problem

T = TypeVar("T")

PAUSES: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds between attempts; each is lengthened by up to a half, so that not all come at once."""
_STAMPS = (
    *("ETag", "etag", "e_tag", "generation", "version_id", "VersionId", "md5Hash", "content_md5"),
    *("Content-MD5", "Digest", "mtime", "LastModified", "last_modified", "Last-Modified"),
    *("updated", "created"),
)
# Other attempts end no other way: too many requests and timeouts are no refusals.
_PASSING = (408, 425, 429)
_GONE = (404, 410)
_REFUSED = (FileNotFoundError, PermissionError, ImportError, NotImplementedError, ValueError)


@dataclass(frozen=True)
class Held:
    """What a store says of a file without sending it.

    Parameters
    ----------
    size : int
        Bytes; -1 where it does not say.
    second : int
        Stands for the version (ETag, generation, time of change): another one, another second;
        -1 where the store names no version.
    """

    size: int
    second: int


class Store:
    """One address, and the file system that answers for it.

    Parameters
    ----------
    address : str
        A folder or a file.
    key : str
        Where in the manifest it stands, for messages.
    alone : str
        What the file is called here, where the address is one.

    Raises
    ------
    DatasetError
        The package for such addresses is missing, or there is none.
    """

    def __init__(self, address: str, key: str, alone: str = "") -> None:
        # Heavy, and needed for addresses only.
        import fsspec

        self.address, self.key, self._alone = address.rstrip("/"), key, alone
        try:
            self._system, self._root = fsspec.core.url_to_fs(self.address)
        except (ImportError, ValueError) as error:
            extra = {"s3": "s3", "http": "http", "https": "http"}.get(address.partition(":")[0])
            hint = f" (pip install 'saliency-audit[{extra}]')" if extra else ""
            raise DatasetError(
                f"{key}: {guarded(address)}: {guarded(str(error))}. Install the package that "
                f"opens such addresses{hint}."
            ) from error
        # Its instances are kept, with what they were told before.
        self._system.invalidate_cache()

    def listing(self) -> Mapping[str, Held | None]:
        """All files below the address, by their names below it.

        Raises
        ------
        DatasetError
            The store cannot be reached, or refuses.
        """
        found = self._patiently("be listed", self._found)
        if found is None:
            raise DatasetError(
                f"{self.key}: nothing is at {guarded(self.address)}. Is it written as the store "
                "has it?"
            )
        return found

    def _found(self) -> Mapping[str, Held | None] | None:
        listed: Mapping[str, Mapping[str, Any]] = self._system.find(self._root, detail=True)
        start = f"{str(self._root).rstrip('/')}/"
        return {
            name.removeprefix(start): _held(info)
            for name, info in listed.items()
            if info.get("type") == "file" and name.startswith(start) and name != start
        } or None

    def look(self, name: str) -> Held | None:
        """What is said of one file, by its name below the address; None: there is no such file.

        Raises
        ------
        DatasetError
            As for :meth:`listing`.
        """
        return self._patiently("be reached", lambda: _held(self._system.info(self._at(name))))

    def fetch(self, name: str, target: Path, size: int) -> str | None:
        """Write one file to a path; returns the sha256 of it, None where there is no such file.

        Raises
        ------
        DatasetError
            As for :meth:`listing`; or it came with fewer or more bytes than the store says,
            whenever it was asked.
        """

        def got() -> str:
            self._system.get_file(self._at(name), str(target))
            came = target.stat().st_size
            if size not in (-1, came):
                raise OSError(f"{came} bytes came of {name}, {size} were announced")
            with target.open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest()

        return self._patiently("be read", got)

    def _at(self, name: str) -> str:
        if name == self._alone:
            return str(self._root)
        name = name if lists_files(self.address) else quote(name)
        return f"{str(self._root).rstrip('/')}/{name}"

    def _patiently(self, what: str, ask: Callable[[], T]) -> T | None:
        """Ask, and ask again after a pause; None where the store says that nothing is there."""
        for pause in (*PAUSES, None):
            stop_if_asked()
            try:
                return ask()
            except Exception as found:
                error = self._meant(found)
                if isinstance(error, FileNotFoundError):
                    return None
                if problem := storage_problem(error):
                    raise AuditError(problem) from found
                if pause is None or _is_refusal(error):
                    raise self._unreachable(what, error, pause is None) from error
                time.sleep(pause * random.uniform(1.0, 1.5))  # noqa: S311
        raise AssertionError

    def _meant(self, error: Exception) -> BaseException:
        """What an error means: of a web server fsspec says of any that there is no such file."""
        cause = error.__cause__
        if lists_files(self.address) or not isinstance(error, FileNotFoundError) or cause is None:
            return error
        return error if getattr(cause, "status", None) in _GONE else cause

    def _unreachable(self, what: str, error: BaseException, was_patient: bool) -> DatasetError:
        tried = f", asked {len(PAUSES) + 1} times" if was_patient else ""
        said = guarded(f"{type(error).__name__}: {error}")[:300].rstrip(".")
        return DatasetError(
            f"{self.key}: {guarded(self.address)} cannot {what} ({said}{tried}). No image is at "
            "fault. Are address, network and credentials right? What was fetched stays; the same "
            "command goes on from there."
        )


def _is_refusal(error: BaseException) -> bool:
    status = getattr(error, "status", None)
    if isinstance(status, int) and 400 <= status < 500:
        return status not in _PASSING
    return isinstance(error, _REFUSED)


def _held(info: Mapping[str, Any]) -> Held:
    size = info.get("size")
    stamp = next((str(info[name]) for name in _STAMPS if info.get(name)), "")
    # Whole seconds of 17 years, which any disk keeps: 1 in 500 million falls on the one before.
    digest = int.from_bytes(hashlib.sha256(stamp.encode()).digest()[:8])
    second = 946_684_800 + digest % 2**29 if stamp else -1
    return Held(size if isinstance(size, int) else -1, second)

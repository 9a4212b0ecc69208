"""Estimated outlines on disk: a grey picture an image, found by the content of the image."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from audit.remote.addresses import user_cache
from audit.writing import write_bytes

MAX_SIDE = 2048
"""Of a stored outline; a larger picture was not written here."""
CACHE_BYTES = 2 * 2**30
"""Of the user's cache, over all estimators; what was used longest ago goes first."""


class OutlineStoreJson(TypedDict):
    """An :class:`OutlineStore` as JSON values."""

    folders: Sequence[str]
    identity: str


@dataclass(frozen=True)
class OutlineStore:
    """The outlines of one estimator in one or several folders.

    Parameters
    ----------
    folders : tuple of Path
        The first is written and read first: that of the run. The others are asked where it lacks
        an outline, and get what is new.
    identity : str
        Of the estimator; outlines of another one are never met.
    """

    folders: tuple[Path, ...]
    identity: str

    def to_json(self) -> OutlineStoreJson:
        """As JSON values."""
        return {"folders": [str(folder) for folder in self.folders], "identity": self.identity}

    @classmethod
    def from_json(cls, content: OutlineStoreJson) -> OutlineStore:
        """As :meth:`to_json` gave it."""
        return cls(tuple(map(Path, content["folders"])), content["identity"])

    def get(self, sha256: str) -> NDArray[np.floating] | None:
        """The outline of an image, ``(h, w)`` in 0..1; None where there is none."""
        for folder in self.folders:
            path = self._path(folder, sha256)
            try:
                content = path.read_bytes()
                with Image.open(BytesIO(content), formats=("PNG",)) as image:
                    if image.mode == "L" and max(image.size) <= MAX_SIDE:
                        return np.asarray(image, np.float32) / 255
            except (OSError, SyntaxError, ValueError):
                # Missing, or torn by something else than us: it is made again.
                continue
        return None

    def fetch(self, sha256: str) -> bool:
        """Whether the first folder holds an outline, taken over from another one where need be."""
        first = self._path(self.folders[0], sha256)
        if first.exists():
            return True
        for folder in self.folders[1:]:
            path = self._path(folder, sha256)
            if path.exists() and self.get(sha256) is not None:
                # Used today, so that pruning takes others first.
                os.utime(path)
                _link(path, first)
                return True
        return False

    def put(self, sha256: str, outline: NDArray[np.floating]) -> None:
        """Keep the outline ``(h, w)`` in 0..1 of an image; whole or not at all."""
        buffer = BytesIO()
        Image.fromarray(np.rint(np.clip(outline, 0, 1) * 255).astype(np.uint8)).save(buffer, "PNG")
        first = self._path(self.folders[0], sha256)
        write_bytes(first, buffer.getvalue())
        for folder in self.folders[1:]:
            try:
                _link(first, self._path(folder, sha256))
            except OSError:
                # A cache that cannot be written costs time in the next run, and nothing else.
                continue

    def _path(self, folder: Path, sha256: str) -> Path:
        return folder / self.identity / sha256[:2] / f"{sha256}.png"


def _link(source: Path, target: Path) -> None:
    """One file under two names, or a copy where the folders lie on two disks."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".writing-{os.getpid()}-{target.name}")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    temporary.replace(target)


def cache_folder() -> Path:
    """The user's cache of outlines: below ``$SALIENCY_AUDIT_CACHE`` or ``$XDG_CACHE_HOME``."""
    return user_cache() / "outlines"


def prune(folder: Path, most: int = CACHE_BYTES) -> int:
    """Remove outlines of a cache, the longest unused first, until it holds `most` bytes.

    Returns
    -------
    int
        Files removed.
    """
    files = sorted(_files(folder))
    total, removed = sum(size for _, size, _ in files), 0
    for _, size, path in files:
        if total <= most:
            break
        path.unlink(missing_ok=True)
        total -= size
        removed += 1
    return removed


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    paths: Iterable[Path] = folder.glob("*/*/*.png") if folder.is_dir() else ()
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            continue
        yield found.st_mtime, found.st_size, path

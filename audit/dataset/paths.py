"""Where the text of a table or an annotation leads: never out of the dataset's folder unasked."""

from __future__ import annotations

import os
import re
from pathlib import Path

from audit.errors import SampleError

_SHOWN = 6
_UNTIDY = re.compile(r"^\./|/\./|//|/$")


class PathResolver:
    """Resolves paths below a folder.

    Parameters
    ----------
    root : Path
        The folder.
    follow_links : bool
        Allow paths that lead out of it.
    """

    def __init__(self, root: Path, follow_links: bool = False) -> None:
        self.root = root
        self._follow_links = follow_links
        # Text, not Path: there may be millions.
        self._start = str(root)
        self._real = os.path.realpath(root)
        self._inside: dict[str, bool] = {}

    def find(self, text: str, what: str = "image") -> Path:
        """The path that `text` means; see :meth:`locate`."""
        return Path(self.locate(text, what))

    def locate(self, text: str, what: str = "image") -> str:
        """The path that `text` means, as text.

        Parameters
        ----------
        text : str
            As written in the dataset.
        what : str
            What it is a path of, for the message.

        Raises
        ------
        SampleError
            No path, or one that leads out of the folder.
        """
        if not text.strip() or "\0" in text or os.path.basename(text) in ("", "..", "."):
            raise SampleError("BAD_PATH", f"not a path of an {what}: {text[:100]!r}")
        path = os.path.join(self._start, text)
        try:
            # Half a character, as JSON can hold it, is in no file's name.
            os.fsencode(path)
            if "\\" in text and not os.path.exists(path):
                # Written on Windows.
                path = os.path.join(self._start, text.replace("\\", "/"))
            if self._follow_links or self._is_inside(path):
                return path
        except (OSError, ValueError) as error:
            problem = (
                error.strerror if isinstance(error, OSError) else "no name that a file can have"
            )
            detail = f"not a path of an {what} ({problem}): {text[:100]!r}"
            raise SampleError("BAD_PATH", detail) from error
        detail = f"the {what} leads out of dataset.root; allow it with follow_links: true"
        raise SampleError("OUTSIDE_ROOT", detail)

    def _is_inside(self, path: str) -> bool:
        if os.path.islink(path):
            return self._is_below(os.path.realpath(path))
        # Folders are few where images are many.
        folder = os.path.dirname(path)
        if folder not in self._inside:
            self._inside[folder] = self._is_below(os.path.realpath(folder))
        return self._inside[folder]

    def _is_below(self, real: str) -> bool:
        return real == self._real or real.startswith(self._real.rstrip(os.sep) + os.sep)


def tidy(text: str) -> str:
    """A path below a folder in the one form in which it is a sample's id.

    Examples
    --------
    >>> tidy("./cats//a.png")
    'cats/a.png'
    """
    # The same text where nothing is to be done: there may be millions.
    return Path(text).as_posix() if _UNTIDY.search(text) else text


def no_folder(root: Path) -> str:
    """Say that the root is not there, or no folder, and what to write."""
    what = "expected a folder, found a file" if root.exists() else "no such folder"
    return f"dataset.root: {what}: {root}. Write its path, relative to the manifest."


def found_there(root: Path, *patterns: str) -> str:
    """Say what lies in a folder instead of what was looked for: up to six names of a kind."""
    if not root.is_dir():
        return "there is no such folder"
    names = [
        path.relative_to(root).as_posix()
        for pattern in patterns
        for path in sorted(root.glob(pattern))
    ]
    more = ", ..." if len(names) > _SHOWN else ""
    return f"found: {', '.join(names[:_SHOWN]) or 'none'}{more}"

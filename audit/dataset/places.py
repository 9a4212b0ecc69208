"""Where the text of a table or an annotation leads: never out of the dataset's folder unasked."""

from __future__ import annotations

import os
from pathlib import Path

from audit.errors import SampleError


class Places:
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
        self._real = Path(os.path.realpath(root))
        self._inside: dict[Path, bool] = {}

    def find(self, text: str, what: str = "image") -> Path:
        """The path that `text` means.

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
        if not text.strip() or "\0" in text or Path(text).name in ("", ".."):
            raise SampleError("BAD_PATH", f"not a path of an {what}: {text[:100]!r}")
        path = self.root / text
        try:
            if "\\" in text and not path.exists():
                # Written on Windows.
                path = self.root / text.replace("\\", "/")
            if self._follow_links or self._is_inside(path):
                return path
        except OSError as error:
            detail = f"not a path of an {what} ({error.strerror}): {text[:100]!r}"
            raise SampleError("BAD_PATH", detail) from error
        detail = f"the {what} leads out of dataset.root; allow it with follow_links: true"
        raise SampleError("OUTSIDE_ROOT", detail)

    def _is_inside(self, path: Path) -> bool:
        if path.is_symlink():
            return Path(os.path.realpath(path)).is_relative_to(self._real)
        # Folders are few where images are many.
        if path.parent not in self._inside:
            real = Path(os.path.realpath(path.parent))
            self._inside[path.parent] = real.is_relative_to(self._real)
        return self._inside[path.parent]

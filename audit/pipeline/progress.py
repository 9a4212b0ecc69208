"""What a run tells of how far it is, and to whom: nobody, unless somebody asks."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Progress(Protocol):
    """Follows the steps of one run; give your own to :func:`audit.run`."""

    def step(self, name: str, total: int | None = None) -> AbstractContextManager[None]:
        """Enter a step of `total` items, None where nobody knows how many, until the block ends."""
        ...

    def advance(self, name: str, count: int) -> None:
        """Take note that so many more items of a step are done; called from any thread."""
        ...


class Silent:
    """Tells nobody."""

    def step(self, name: str, total: int | None = None) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def advance(self, name: str, count: int) -> None:
        """Do nothing."""


SILENT = Silent()

"""Neighbouring parts of a step that one task makes: an engine's own cost a task is paid once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Final, Generic, TypeVar

from audit.cancellation import stop_if_asked
from audit.pipeline.progress import Progress
from audit.pipeline.session import Session

T = TypeVar("T")

TASKS: Final = 1024
"""Tasks a step, at most: one of Prefect costs about a second, which tiny parts do not."""


class Group(Generic[T]):
    """Some parts, made one after the other; no dataclass, of which Prefect would look at each part.

    Parameters
    ----------
    first : int
        Number of its first part, among all of the step.
    parts : mapping
        Parts, with how much work each is.
    """

    def __init__(self, first: int, parts: Mapping[T, int]) -> None:
        self._first, self._parts = first, dict(parts)
        self._told: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._parts)

    def __str__(self) -> str:
        last = self._first + len(self._parts) - 1
        return str(last) if last == self._first else f"{self._first}-{last}"

    @property
    def size(self) -> int:
        """How much work all of them are."""
        return sum(self._parts.values())

    def once(self, progress: Progress) -> Progress:
        """Tells what earlier attempts have not told: another tells of what it finds finished."""
        return _Once(progress, self._told)

    def make(
        self,
        make: Callable[[Session, T, Progress], bool],
        session: Session,
        progress: Progress,
    ) -> bool:
        """Make those that are missing; returns whether any was made now.

        Parameters
        ----------
        make, session, progress
            See :meth:`audit.pipeline.steps.StepRunner.run_parts`.
        """
        made = False
        for part in self._parts:
            stop_if_asked()
            made = make(session, part, progress) or made
        return made


def grouped(parts: Mapping[T, int], most: int = TASKS) -> list[Group[T]]:
    """Lay neighbouring parts together, as many each as the next, into at most so many groups.

    Examples
    --------
    >>> [str(group) for group in grouped(dict.fromkeys("abcde", 1), 3)]
    ['0', '1-2', '3-4']
    """
    told, count = list(parts.items()), min(most, len(parts))
    bounds = [len(told) * k // count for k in range(count + 1)] if told else []
    return [Group(start, dict(told[start:end])) for start, end in pairwise(bounds)]


class _Once:
    """Tells what an earlier attempt at the same work has not told."""

    def __init__(self, progress: Progress, told: dict[str, int]) -> None:
        self._progress, self._told = progress, told
        self._now: dict[str, int] = {}

    def step(self, name: str, total: int | None = None) -> AbstractContextManager[None]:
        return self._progress.step(name, total)

    def advance(self, name: str, count: int) -> None:
        before = self._told.get(name, 0)
        now = self._now[name] = self._now.get(name, 0) + count
        if now > before:
            self._told[name] = now
            self._progress.advance(name, now - before)

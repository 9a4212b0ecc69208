"""Who takes the steps of an audit, and who makes the parts of one: this thread, or others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ParamSpec, Protocol, TypeVar

from audit.pipeline.progress import Progress
from audit.pipeline.session import Session

P = ParamSpec("P")
T = TypeVar("T")


class StepRunner(Protocol):
    """Who takes the steps: this thread, or a workflow engine."""

    def run_step(self, name: str, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Take one step now."""
        ...

    def run_parts(
        self,
        name: str,
        make: Callable[[Session, T, Progress], bool],
        session: Session,
        progress: Progress,
        parts: Mapping[T, int],
    ) -> None:
        """Have all parts of a step made, in any order, here or elsewhere, and wait for them.

        Parameters
        ----------
        name : str
            What one part is called.
        make : callable
            A function of a module, which writes a part's own file, whole or not at all, and makes
            none again that is there; returns whether it was made now.
        session, progress
            Of the run. Elsewhere the session is opened again, and nobody is told of progress.
        parts : mapping
            Small frozen values that say what each is, with how much work each is, for its progress.
        """
        ...


class Sequential:
    """One step after the other, in this thread."""

    def run_step(self, name: str, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the step."""
        return step(*args, **kwargs)

    def run_parts(
        self,
        name: str,
        make: Callable[[Session, T, Progress], bool],
        session: Session,
        progress: Progress,
        parts: Mapping[T, int],
    ) -> None:
        """Make part by part."""
        for part in parts:
            make(session, part, progress)


SEQUENTIAL = Sequential()

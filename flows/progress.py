"""Live progress for a person at a terminal; silent where nobody looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        """Show the measured rate, or nothing before there is one."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed and task.total else "")


class Reporter:
    """The steps of one run at a time; does nothing until it is shown."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    @contextmanager
    def shown(self, console: Console) -> Iterator[None]:
        """Show progress on `console` until the block ends."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            self._progress = progress
            try:
                yield
            finally:
                self._progress = None
                self._tasks = {}

    def expect(self, name: str, total: int) -> None:
        """Announce a step of so many items."""
        if self._progress is not None:
            self._tasks[name] = self._progress.add_task(name, total=total)

    def advance(self, name: str, count: int) -> None:
        """Say that so many items of a step are done."""
        if self._progress is not None and name in self._tasks:
            self._progress.advance(self._tasks[name], count)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show a step whose length nobody knows."""
        if self._progress is None:
            yield
            return
        task = self._progress.add_task(name, total=None)
        yield
        self._progress.update(task, total=1, completed=1)


reporter = Reporter()

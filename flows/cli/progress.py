"""Live progress: bars for a person at a terminal, lines for everything else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from audit.pipeline.progress import Lines, Progress


class _Rate(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        """Show the measured rate, or nothing before there is one."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed and task.total else "")


class StepsDisplay:
    """A line for each step of a run."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    @contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[None]:
        """Show a step; one whose length nobody knows has one item, itself."""
        task = self._tasks[name] = self._bars.add_task(name, total=total)
        yield
        if total is None:
            self._bars.update(task, total=1, completed=1)

    def advance(self, name: str, count: int) -> None:
        """Show that so many more items of a step are done."""
        self._bars.advance(self._tasks[name], count)


@contextmanager
def shown_progress(console: Console) -> Iterator[Progress]:
    """Show the steps of a run on `console` until the block ends; as lines where it is a file."""
    if not console.is_terminal:
        yield Lines(partial(console.print, markup=False, highlight=False))
        return
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
    with Bars(*columns, console=console) as bars:
        yield StepsDisplay(bars)

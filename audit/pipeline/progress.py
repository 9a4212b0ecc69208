"""What a run tells of how far it is, and to whom: a line a step, unless somebody asks for more."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from typing import Protocol

EVERY = 60.0
"""Seconds between two lines of one step."""
_WARM = 3.0
"""What is counted in the first seconds was finished by an earlier run, or came out of a cache."""
_WINDOW = 600.0


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


class Together:
    """Tells several.

    Parameters
    ----------
    *told : Progress
        Each is told everything.
    """

    def __init__(self, *told: Progress) -> None:
        self._told = told

    @contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[None]:
        """Enter the step with each."""
        with ExitStack() as entered:
            for one in self._told:
                entered.enter_context(one.step(name, total))
            yield

    def advance(self, name: str, count: int) -> None:
        """Tell each."""
        for one in self._told:
            one.advance(name, count)


class Tenths:
    """Tells percents of one step, each tenth once: who is told may be far away.

    Parameters
    ----------
    total : int
        Items of the step.
    tell : callable
        Is given percents; its errors end no work.
    """

    def __init__(self, total: int, tell: Callable[[float], object]) -> None:
        self._total, self._tell, self._done = max(1, total), tell, 0

    def step(self, name: str, total: int | None = None) -> AbstractContextManager[None]:
        """Do nothing: the step is known."""
        return nullcontext()

    def advance(self, name: str, count: int) -> None:
        """Take note of so many more items."""
        before, self._done = self._done, self._done + count
        if self._done * 10 // self._total > before * 10 // self._total:
            with suppress(Exception):
                self._tell(min(100.0, 100 * self._done / self._total))


@contextmanager
def counted(
    progress: Progress, step: str, what: str, total: int
) -> Iterator[Callable[[int], None]]:
    """Tell how far a step is that knows only within itself how much there is to do.

    Parameters
    ----------
    progress : Progress
        Is told of it as of a step of its own, "`step`, `what`".
    step, what : str
        The step, and what is counted in it.
    total : int
        How many there are.
    """
    name = f"{step}, {what}"
    with progress.step(name, total):
        yield partial(progress.advance, name)


def passed_on(
    progress: Progress, name: str
) -> Callable[[str, int], AbstractContextManager[Callable[[int], None]]]:
    """What a workbench is given that makes a part of a step: it tells of the step, not of itself.

    Parameters
    ----------
    progress : Progress
        Is told.
    name : str
        As :func:`counted` calls the step.
    """
    return lambda _what, _total: nullcontext(partial(progress.advance, name))


class Pace:
    """How far one step is, and how fast it goes.

    Parameters
    ----------
    total : int or None
        Items of the step.
    clock : callable
        Seconds that never run backwards.
    """

    def __init__(self, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.done = total, 0
        self._clock, self._began = clock, clock()
        self._met: deque[tuple[float, int]] = deque([(self._began, 0)])

    def advance(self, count: int) -> None:
        """So many more are done."""
        now = self._clock()
        self.done += count
        if now - self._began < _WARM:
            self._met.clear()
        self._met.append((now, self.done))
        # Old rates tell little of the next hour; two points are always kept.
        while len(self._met) > 2 and now - self._met[1][0] > _WINDOW:
            self._met.popleft()

    @property
    def seconds(self) -> float:
        """Since the step began."""
        return self._clock() - self._began

    @property
    def rate(self) -> float | None:
        """Items a second of late; None before there is anything to tell it by."""
        since, before = self._met[0]
        spent = self._clock() - since
        return (self.done - before) / spent if self.done > before and spent > 0 else None

    @property
    def left(self) -> float | None:
        """Seconds to the end of the step; None where nobody can know."""
        if self.total is None or self.rate is None:
            return None
        return max(0, self.total - self.done) / self.rate

    def __str__(self) -> str:
        words = [f"{self.done:,}" if self.total is None else f"{self.done:,} of {self.total:,}"]
        if self.total is None and not self.done:
            words = [f"at work for {duration(self.seconds)}"]
        if self.rate is not None:
            words.append(f"{self.rate:.3g} a second")
        if self.left is not None:
            words.append(f"about {duration(self.left)} left")
        return ", ".join(words)


class Lines:
    """A line when a step ends, and one every minute while it lasts.

    Parameters
    ----------
    say : callable
        Is given each line.
    every : float
        Seconds between two lines of one step.
    """

    def __init__(self, say: Callable[[str], object], every: float = EVERY) -> None:
        self._say, self._every = say, every
        self._paces: dict[str, Pace] = {}

    @contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[None]:
        """Tell of a step until it ends."""
        pace = self._paces[name] = Pace(total)
        over = threading.Event()

        def tell() -> None:
            while not over.wait(self._every):
                # A step within it knows more.
                if [*self._paces][-1:] == [name]:
                    self._say(f"{name}: {pace}")

        telling = threading.Thread(target=tell, name=f"progress of {name}", daemon=True)
        telling.start()
        try:
            yield
        except BaseException:
            end = f"ended early after {duration(pace.seconds)}"
            raise
        else:
            end = (f"{pace.done:,} in " if pace.done else "") + duration(pace.seconds)
        finally:
            # First, so that its end is the last that is said of a step.
            over.set()
            telling.join()
            self._paces.pop(name, None)
            self._say(f"{name}: {end}")

    def advance(self, name: str, count: int) -> None:
        """Take note that so many more items of a step are done."""
        # A worker may be heard after its step was given up.
        if pace := self._paces.get(name):
            pace.advance(count)


def duration(seconds: float) -> str:
    """Seconds as people say them.

    Examples
    --------
    >>> duration(0.26), duration(42.4), duration(95), duration(7_500), duration(200_000)
    ('0.3 s', '42 s', '2 min', '2 h 5 min', '2 d 8 h')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h"

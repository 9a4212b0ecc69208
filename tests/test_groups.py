"""Very many parts of a step are made in groups: nothing is lost, doubled or told twice."""

from __future__ import annotations

import pickle
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prefect import flow

from audit import cancellation
from audit.cancellation import Stopped
from audit.pipeline import groups
from audit.pipeline.groups import Group, grouped
from audit.pipeline.progress import SILENT, Progress, Silent
from audit.pipeline.session import Session
from flows import tasks

NO_SESSION = cast(Session, None)


class Told(Silent):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def advance(self, name: str, count: int) -> None:
        self.counts[name] += count


class World:
    """Parts as files would be: written whole or not at all, and found by the next who asks."""

    def __init__(self, *unreadable: int) -> None:
        self.written: Counter[int] = Counter()
        self.asked: list[int] = []
        self._unreadable = set(unreadable)

    def make(self, session: Session, part: int, progress: Progress) -> bool:
        self.asked.append(part)
        progress.advance("parts", 1)
        if part in self._unreadable:
            self._unreadable.discard(part)
            raise OSError("the store does not answer")
        if self.written[part]:
            return False
        self.written[part] += 1
        return True


@pytest.mark.parametrize("count", [0, 1, 4, 5, 9, 15_000])
def test_every_part_is_in_one_group_beside_its_neighbours(count: int) -> None:
    world = World()
    made = grouped(dict.fromkeys(range(count), 3), 4)
    assert len(made) == min(4, count)
    assert sum(group.size for group in made) == 3 * count
    sizes = [len(group) for group in made]
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    for group in made:
        assert group.make(world.make, NO_SESSION, SILENT)
    assert world.asked == list(range(count))


def test_few_parts_are_a_task_each() -> None:
    assert len(grouped(dict.fromkeys(range(groups.TASKS), 1))) == groups.TASKS
    assert len(grouped(dict.fromkeys(range(15 * groups.TASKS), 1))) == groups.TASKS


def test_another_attempt_makes_what_is_missing_and_tells_what_was_not_told() -> None:
    world, told = World(2), Told()
    (group,) = grouped(dict.fromkeys(range(4), 1), 1)
    with pytest.raises(OSError, match="does not answer"):
        group.make(world.make, NO_SESSION, group.once(told))
    assert told.counts["parts"] == 3
    assert group.make(world.make, NO_SESSION, group.once(told))
    assert world.written == Counter(range(4))
    assert told.counts["parts"] == 4
    # Finished by an earlier run, which told nobody here.
    (again,) = grouped(dict.fromkeys(range(4), 1), 1)
    arrived: Group[int] = pickle.loads(pickle.dumps(again))
    assert not arrived.make(world.make, NO_SESSION, arrived.once(told))
    assert told.counts["parts"] == 8


def test_who_is_asked_to_stop_begins_no_further_part() -> None:
    world = World()

    def make(session: Session, part: int, progress: Progress) -> bool:
        cancellation.ask_to_stop()
        return world.make(session, part, progress)

    (group,) = grouped(dict.fromkeys(range(3), 1), 1)
    try:
        with pytest.raises(Stopped):
            group.make(make, NO_SESSION, SILENT)
    finally:
        cancellation.begin()
    assert world.asked == [0]


def test_tasks_of_some_parts_are_tried_again_and_say_what_was_there_already(
    monkeypatch: pytest.MonkeyPatch, prefect_server: str
) -> None:
    assert prefect_server
    monkeypatch.setattr(groups.grouped, "__defaults__", (3,))
    monkeypatch.setattr(
        tasks,
        "Handle",
        lambda session, progress: SimpleNamespace(session=session, progress=progress),
    )
    quick = tasks.make_part.with_options(retry_delay_seconds=0)
    monkeypatch.setattr(tasks, "make_part", quick)
    started: list[tuple[str, float | None]] = []
    states: list[str | None] = []
    submit = type(quick).submit

    def followed(self: Any, *given: Any) -> object:
        started.append((given[2], self.timeout_seconds))
        future = submit(self, *given)
        future.wait()
        states.append(future.state.name)
        return future

    monkeypatch.setattr(type(quick), "submit", followed)
    world, told = World(4), Told()

    @flow(persist_result=False)
    def night() -> str:
        parts = dict.fromkeys(range(8), 1)
        tasks.AsTasks(60.0).run_parts("part", world.make, NO_SESSION, told, parts)
        return "done"

    assert night() == "done"
    assert started == [("0-1", 120.0), ("2-4", 180.0), ("5-7", 180.0)]
    assert world.written == Counter(range(8))
    assert told.counts["parts"] == 8
    assert set(states) == {"Completed"}
    states.clear()
    assert night() == "done"
    assert states == ["AlreadyDone"] * 3
    assert world.written == Counter(range(8))

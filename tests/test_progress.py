"""What a run tells of how far it is: a line a step, one every minute, and honest estimates."""

from __future__ import annotations

import importlib
import sys
import threading
import time
import weakref
from contextlib import nullcontext
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import httpx
import pytest
from prefect.exceptions import TerminationSignal
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from audit import cancellation
from audit.cancellation import Stopped
from audit.errors import AuditError
from audit.pipeline.progress import Lines, Pace, Together, counted
from audit.run_folder import RunFolder
from flows import cli, server
from flows.cli import endings


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_comes_from_what_is_being_done_now() -> None:
    clock = Clock()
    pace = Pace(1_000, clock)
    assert (pace.rate, pace.left, str(pace)) == (None, None, "0 of 1,000")
    # Four shards that an earlier run finished: they are passed in a moment, and are no pace.
    clock.now += 0.1
    pace.advance(400)
    assert pace.rate is None
    clock.now += 100
    pace.advance(100)
    assert pace.rate == pytest.approx(1)
    assert pace.left == pytest.approx(500)
    assert str(pace) == "500 of 1,000, 1 a second, about 8 min left"


def test_an_old_pace_is_forgotten() -> None:
    clock = Clock()
    pace = Pace(100_000, clock)
    for _ in range(100):
        clock.now += 10
        pace.advance(100)
    for _ in range(100):
        clock.now += 10
        pace.advance(10)
    assert pace.rate == pytest.approx(1, rel=0.05)


def test_nobody_knows_how_long_a_step_without_a_count_takes() -> None:
    clock = Clock()
    pace = Pace(None, clock)
    clock.now += 95
    assert pace.left is None
    assert str(pace) == "at work for 2 min"


def test_a_line_a_step_and_more_while_it_lasts() -> None:
    said: list[str] = []
    lines = Lines(said.append, every=0.05)
    with lines.step("scores", 20):
        lines.advance("scores", 5)
        time.sleep(0.3)
    assert said[0].startswith("scores: 5 of 20")
    assert said[-1].startswith("scores: 5 in 0.")
    after = len(said)
    with pytest.raises(KeyError), lines.step("report"):
        raise KeyError
    assert said[after:] == ["report: ended early after 0.0 s"]
    time.sleep(0.2)
    assert len(said) == after + 1


def test_a_step_that_counts_within_itself_speaks_for_the_whole() -> None:
    said: list[str] = []
    lines = Lines(said.append, every=0.05)
    with lines.step("follow-up"):
        with counted(lines, "follow-up", "images", 20) as done:
            done(5)
            time.sleep(0.2)
        lines.advance("follow-up, images", 1)
    assert said[0].startswith("follow-up, images: 5 of 20")
    (end,) = (n for n, line in enumerate(said) if line.startswith("follow-up, images: 5 in 0."))
    assert not [line for line in said[:end] if line.startswith("follow-up: ")]
    assert said[-1].startswith("follow-up: 0.")


def test_the_end_of_a_step_is_the_last_that_is_said_of_it() -> None:
    said: list[str] = []

    def slowly(line: str) -> None:
        said.append(line)
        if "at work" not in line:
            time.sleep(0.2)

    with Lines(slowly, every=0.02).step("report"):
        time.sleep(0.05)
    assert said[-1].startswith("report: 0.")


def test_several_are_told_the_same() -> None:
    one, two = [], []  # type: list[str], list[str]
    told = Together(Lines(one.append), Lines(two.append))
    with told.step("gather"):
        told.advance("gather", 3)
    assert one == two == ["gather: 3 in 0.0 s"]


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr(server.time, "sleep", seconds.append)
    return seconds


def test_a_dead_prefect_server_is_tried_again_and_then_named_without_its_key(
    monkeypatch: pytest.MonkeyPatch, waited: list[float]
) -> None:
    monkeypatch.setattr(server.PREFECT_API_URL, "value", lambda: "http://me:key@127.0.0.1:9/api")
    said = server.missing_server()
    assert said == "The Prefect server at http://…@127.0.0.1:9/api does not answer (3 attempts)"
    assert waited == [0, 1, 2]


def test_an_embedded_server_that_is_late_is_started_again(
    monkeypatch: pytest.MonkeyPatch, waited: list[float]
) -> None:
    monkeypatch.setattr(server.PREFECT_API_URL, "value", lambda: None)
    starts = iter([RuntimeError("Timed out"), None, RuntimeError("Timed out"), OSError("disk")])

    class Embedded:
        stopped = 0

        def start(self, timeout: float) -> None:
            if error := next(starts):
                raise error

        def stop(self) -> None:
            Embedded.stopped += 1

    monkeypatch.setattr(server, "SubprocessASGIServer", Embedded)
    assert server.missing_server() == ""
    assert server.missing_server() == "Prefect's embedded server does not start"
    assert Embedded.stopped == 3


def test_a_server_that_goes_away_during_a_run_is_done_without_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = RuntimeError("a task")
    lost.__cause__ = httpx.ConnectError("refused")
    endings: list[Exception | None] = [lost, None, RuntimeError("of our own")]
    taken: list[Any] = []
    monkeypatch.setattr(server, "missing_server", lambda: "")
    # By its name the package gives the command, not the module.
    command = importlib.import_module("flows.cli.run")
    monkeypatch.setattr(command, "_failure_of_flow", lambda *_: endings.pop(0))
    monkeypatch.setattr("audit.pipeline.run.take_steps", lambda session, _: taken.append(session))
    session: Any = SimpleNamespace(run=RunFolder(tmp_path))
    runner: Any = None
    command._run_flow(session, runner)
    assert taken == [session]
    shown = " ".join(capsys.readouterr().err.split())
    assert "went away" in shown
    assert shown.endswith("; the audit goes on without Prefect, in this process.")
    # One that stays, and a failure that is not Prefect's.
    command._run_flow(session, runner)
    with pytest.raises(AuditError, match="of our own"):
        command._run_flow(session, runner)
    assert taken == [session]


@pytest.mark.parametrize("ended", [Stopped(), TerminationSignal(signal=15)])
def test_who_ends_run_and_server_at_once_has_ended_the_run(
    monkeypatch: pytest.MonkeyPatch, ended: BaseException
) -> None:
    def run_as_flow(*_: object) -> None:
        try:
            raise ended
        except BaseException:
            # What Prefect meets on its way to tell the server.
            raise httpx.ConnectError("refused")  # noqa: B904

    monkeypatch.setattr("flows.audit_dataset.run_as_flow", run_as_flow)
    monkeypatch.setattr(server, "server_for_workers", nullcontext)
    command: Any = importlib.import_module("flows.cli.run")
    with pytest.raises(Stopped):
        command._failure_of_flow(None, None, None)


def test_only_what_comes_of_prefect_is_taken_for_its_absence() -> None:
    lost = RuntimeError("a task")
    lost.__cause__ = httpx.ConnectError("refused")
    assert "went away" in endings.lost_server(lost)
    assert endings.lost_server(RuntimeError("out of memory")) == ""
    ours = AuditError("a part is damaged")
    ours.__context__ = httpx.ConnectError("refused")
    assert endings.lost_server(ours) == ""


@pytest.mark.parametrize("ended", [Stopped(), TerminationSignal(15), KeyboardInterrupt()])
def test_who_ends_the_work_waits_neither_for_threads_nor_for_a_dead_server(
    ended: BaseException,
) -> None:
    cancellation.begin()
    with temporary_settings():
        with pytest.raises(ValueError, match="a mistake"), server.quick_to_end():
            raise ValueError("a mistake")
        cancellation.stop_if_asked()
        assert PREFECT_CLIENT_MAX_RETRIES.value() > 0
        with pytest.raises(type(ended)), server.quick_to_end():
            raise ended
        assert PREFECT_CLIENT_MAX_RETRIES.value() == 0
        with pytest.raises(Stopped):
            cancellation.stop_if_asked()
        cancellation.begin()
    # Those in force outside of it are as they were.
    assert PREFECT_CLIENT_MAX_RETRIES.value() > 0


def test_a_second_signal_in_the_midst_of_the_first_waits_for_nobody() -> None:
    def asked_again_at(line: int) -> bool:
        """Ask, and again before that line of all that asking calls; whether there is one."""
        lines = 0

        def before_each(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal lines
            if event == "line":
                lines += 1
                if lines == line:
                    cancellation.ask_to_stop()
            return before_each

        cancellation.begin()
        sys.settrace(before_each)
        try:
            cancellation.ask_to_stop()
        finally:
            sys.settrace(None)
        with pytest.raises(Stopped):
            cancellation.stop_if_asked()
        return lines >= line

    asked = []

    def ask_at_every_line() -> None:
        while asked_again_at(len(asked) + 1):
            asked.append(True)

    # Whoever waits for himself waits for ever: not in the thread of the tests.
    asking = threading.Thread(target=ask_at_every_line, daemon=True)
    asking.start()
    asking.join(timeout=60)
    assert not asking.is_alive()
    assert len(asked) >= 3
    cancellation.begin()


def test_a_stop_that_python_cannot_raise_is_kept_and_not_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Held:
        """Something whose end calls back."""

    def raised_in_a_callback(error: BaseException) -> None:
        def call_back(_: object) -> None:
            raise error

        held = Held()
        watched = weakref.ref(held, call_back)
        del held
        assert watched() is None

    printed: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: printed.append(one.exc_value))
    with cli._no_word_of_lost_stops():
        raised_in_a_callback(Stopped())
        assert printed == []
        raised_in_a_callback(mistake := ValueError("a mistake"))
    assert printed == [mistake]
    raised_in_a_callback(lost := Stopped())
    assert printed == [mistake, lost]

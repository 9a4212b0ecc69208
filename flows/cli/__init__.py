"""The command line: ``saliency-audit``."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn, ParamSpec

import typer
from rich.markup import escape

from audit.cancellation import Stopped, ask_to_stop
from audit.errors import AuditError, InputError
from flows.cli.automations import automations
from flows.cli.check import check
from flows.cli.cmv import cmv
from flows.cli.compare import compare
from flows.cli.demo import demo
from flows.cli.explain import explain
from flows.cli.init import init
from flows.cli.repair import repair
from flows.cli.report import report
from flows.cli.review import review
from flows.cli.run import run
from flows.cli.runs import runs
from flows.cli.serve import deploy, serve
from flows.cli.sign import sign
from flows.cli.terminal import FAILED, USAGE, err

_ENVIRONMENT = {
    # Threads that spin while they wait make everything slow on a machine that others use too.
    "OMP_WAIT_POLICY": "passive",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
"""Read by torch and Prefect when they are imported, which no module of the command line does."""

P = ParamSpec("P")

app = typer.Typer(
    help="Find the classes of an image classifier that are right for the wrong reason.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _own_ending(command: Callable[P, None]) -> Callable[P, None]:
    """Let code of the user's that ends the process, as a script does, end in an error instead."""

    @functools.wraps(command)
    def called(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except SystemExit as error:
            raise AuditError(
                f"something that was called ends the process (sys.exit({error.code!r})): a loader, "
                "reader or method of your own? Nothing after it was done."
            ) from error

    return called


for command in (
    *(run, check, demo, report, repair, compare, review, runs, sign),
    *(cmv, explain, init, deploy, automations),
):
    app.command()(_own_ending(command))
# It calls nothing of the user's, and whoever serves ends by sys.exit where a signal asks for it.
app.command()(serve)


def _end(signum: int, frame: FrameType | None) -> None:
    # Who ends a group of processes often sends two signals at once: the second must not cut off
    # the ending that the first began.
    if ask_to_stop():
        raise Stopped


@contextmanager
def _guarded_exit() -> Iterator[None]:
    """Let nothing that is called end this process with the exit code of success.

    Children that are forked end themselves in that way, and may.
    """
    leave, ours = os._exit, os.getpid()

    def left(status: int) -> NoReturn:
        if os.getpid() == ours:
            err.print(
                f"[bold]saliency-audit:[/bold] something that was called ends the process "
                f"(os._exit({status!r})): a loader, network or reader of your own? "
                "Finished shards are kept.",
                highlight=False,
            )
            leave(FAILED)
        leave(status)

    os._exit = left
    try:
        yield
    finally:
        os._exit = leave


@contextmanager
def _no_word_of_lost_stops() -> Iterator[None]:
    """Keep quiet where a signal came while Python ran a callback, in which nothing can be raised.

    Python would print the exception and go on; what was asked is kept, and the work ends at its
    next piece.
    """
    hook = sys.unraisablehook

    def heard(unraisable: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, Stopped):
            hook(unraisable)

    sys.unraisablehook = heard
    try:
        yield
    finally:
        sys.unraisablehook = hook


def main() -> None:
    """Run the command line; every failure that has a name becomes one message and an exit code."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # Who starts it in the background of a script may have Ctrl-C ignored, or a hang-up.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    try:
        with _guarded_exit(), _no_word_of_lost_stops():
            app()
    except InputError as error:
        _stop(error, USAGE)
    except AuditError as error:
        _stop(error, FAILED)
    except Stopped:
        # The terminal may be what went away.
        with suppress(OSError):
            err.print("Stopped.")
        sys.exit(FAILED)


def _stop(error: AuditError, code: int) -> NoReturn:
    err.print(f"[bold]saliency-audit:[/bold] {escape(str(error))}", highlight=False)
    sys.exit(code)

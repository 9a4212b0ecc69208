"""Steps of an audit as Prefect tasks, parts of steps through the task runner of the flow.

The run folder is the record of what is done, so Prefect's own caching and result storage stay off.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed

from audit.pipeline.groups import Group, grouped
from audit.pipeline.handles import Handle, few_at_a_time
from audit.pipeline.progress import Progress, Tenths, Together
from audit.pipeline.session import Session
from flows.server import quick_to_end

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)
_OPTIONS: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


class AsTasks:
    """Runs each step as a task in this thread, and parts of steps as tasks of their own.

    Parameters
    ----------
    timeout : float, optional
        Seconds that a step or a part may take; who makes some has so many times as long.
    """

    def __init__(self, timeout: float | None = None) -> None:
        self._timeout = timeout

    def run_step(self, name: str, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one step as a task; what it is given stays in this process and is not recorded."""

        @task(name=name, description=step.__doc__, timeout_seconds=self._timeout, **_OPTIONS)
        def taken() -> T:
            with quick_to_end():
                return step(*args, **kwargs)

        return taken()

    def run_parts(
        self,
        name: str,
        make: Callable[[Session, T, Progress], bool],
        session: Session,
        progress: Progress,
        parts: Mapping[T, int],
    ) -> None:
        """Hand all parts to the task runner, some ahead, and wait; very many in groups of some."""
        one = make_part.with_options(name=name, task_run_name=f"{name}-{{number}}")
        handle, groups, each = Handle(session, progress), grouped(parts), self._timeout or 0

        def start(k: int) -> PrefectFuture[Any]:
            own = one.with_options(timeout_seconds=each * len(groups[k]))
            return own.submit(handle, make, str(groups[k]), groups[k])

        few_at_a_time(start, range(len(groups)))


def _may_pass(task: Any, run: Any, state: State[Any]) -> bool:
    """Whether another attempt can go otherwise: storage comes back, a mistake does not go away."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, OSError) or isinstance(getattr(error, "__cause__", None), OSError)


@task(retries=2, retry_delay_seconds=[10, 60], retry_condition_fn=_may_pass, **_OPTIONS)
def make_part(
    handle: Handle, make: Callable[[Session, T, Progress], bool], number: str, group: Group[T]
) -> State[bool] | bool:
    """Make a part of a step, such as a shard, or some; a finished one is never computed twice."""
    with quick_to_end():
        told = _shown(group.once(handle.progress), f"Part {number}", group.size)
        if group.make(make, handle.session, told):
            return True
    return Completed(name="AlreadyDone", message="This was finished by an earlier run.")


def _shown(progress: Progress, what: str, total: int) -> Progress:
    """Who follows, and the page of the task, too; who shows progress must never end the work."""
    with suppress(Exception):
        artifact: Any = create_progress_artifact(0.0, description=what)
        return Together(progress, Tenths(total, partial(update_progress_artifact, artifact)))
    return progress

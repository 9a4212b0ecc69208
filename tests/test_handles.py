"""What crosses a task border: a live session in threads, names and paths elsewhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from auditing import opened, scored
from planted import leaner, write_dataset
from prefect.context import serialize_context
from prefect.task_runners import ThreadPoolTaskRunner
from rich.console import Console

from audit.errors import AuditError
from audit.pipeline.handles import Handle
from audit.pipeline.progress import SILENT
from audit.pipeline.run import begun
from flows.audit_dataset import run_as_flow
from flows.cli.progress import shown_progress


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return leaner(write_dataset(tmp_path_factory.mktemp("handles"), [1], per_class=4))


def test_a_pickled_handle_is_a_request_and_opens_the_same_audit_again(manifest: Path) -> None:
    session = opened(manifest)
    with shown_progress(Console(force_terminal=True, quiet=True)) as progress:
        handle = Handle(session, progress)
        held = cloudpickle.dumps(handle)
    assert len(held) < 2_000
    assert handle.session is session
    other = cloudpickle.loads(held)
    assert other.progress is SILENT
    assert other.request == session.request
    assert other.session is not session
    assert other.session.key == session.key
    # Many shards of one audit open it once.
    assert cloudpickle.loads(held).session is other.session


def test_a_worker_that_sees_other_data_is_refused(manifest: Path) -> None:
    session = opened(manifest)
    other = dataclasses.replace(session, key="0" * 64)
    with pytest.raises(AuditError, match="does not see what the audit began with"):
        _ = cloudpickle.loads(cloudpickle.dumps(Handle(other))).session


class Courier(ThreadPoolTaskRunner):
    """Sends each task as a pickle, as the runners of processes, Dask and Ray do."""

    def submit(self, task: Any, parameters: dict[str, Any], *more: Any, **options: Any) -> Any:
        sent = cloudpickle.dumps((task, parameters, serialize_context()))
        there, arrived, _ = cloudpickle.loads(sent)
        return super().submit(there, arrived, *more, **options)


def test_shards_sent_elsewhere_come_out_the_same_to_the_last_byte(
    manifest: Path, tmp_path: Path
) -> None:
    overrides = ("report.formats=[]", "cmv.classes=none", "run.shard_size=10")
    here = scored(manifest, tmp_path / "here", *overrides)
    with (
        begun(opened(manifest, "", *overrides), tmp_path / "there", resume=True) as session,
        # Live, as at a terminal: nothing of it may be pickled.
        shown_progress(Console(force_terminal=True, quiet=True)) as progress,
    ):
        state = run_as_flow(session, progress, Courier(max_workers=1))
        assert state.is_completed(), state.message
    written = (tmp_path / "there" / "scores.parquet").read_bytes()
    assert written == here.scores.read_bytes()

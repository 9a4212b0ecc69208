"""What crosses a task border: a live session in threads, names and paths elsewhere."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import cloudpickle
import pandas as pd
import pytest
import torch
from auditing import opened, scored
from planted import leaner, write_dataset
from prefect.context import serialize_context
from prefect.task_runners import ThreadPoolTaskRunner
from rich.console import Console

from audit.dataset.sample_table import (
    SAMPLE_COLUMNS,
    read_samples,
    sample_of,
    sample_rows,
    samples_table,
)
from audit.dataset.samples import Annotation, Sample
from audit.errors import AuditError
from audit.findings import read_facts
from audit.measuring.columns import write_table
from audit.pipeline import measure
from audit.pipeline.handles import Handle
from audit.pipeline.prepare import prepare
from audit.pipeline.progress import SILENT
from audit.pipeline.run import begun
from audit.pipeline.run_json import update_facts
from audit.pipeline.session import Session
from flows.audit_dataset import run_as_flow
from flows.cli.progress import shown_progress


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return leaner(write_dataset(tmp_path_factory.mktemp("handles"), [1], per_class=4))


@pytest.fixture(scope="module")
def session(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A run that has begun: what a worker opens again."""
    begun_there = opened(manifest, tmp_path_factory.mktemp("begun") / "run")
    with begun_there.loader:
        prepare(begun_there)
    return begun_there


def on_worker(session: Session) -> Session:
    """The session as it is opened on the other side of a pickle."""
    there: Handle = cloudpickle.loads(cloudpickle.dumps(Handle(session)))
    return there.session


def test_a_pickled_handle_is_a_request_and_opens_the_same_audit_again(session: Session) -> None:
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


def test_what_comes_to_the_dataset_or_leaves_it_does_not_move_a_workers_shards(
    tmp_path: Path,
) -> None:
    manifest = leaner(write_dataset(tmp_path, [], per_class=2))
    session = opened(manifest, tmp_path / "run", "run.shard_size=16")
    with session.loader:
        prepare(session)
    first, *_, last = (Path(os.fsdecode(path)) for path in session.table["path"])
    shutil.copy(first, first.with_name("0000-came-later.png"))
    last.unlink()
    there = on_worker(session)
    columns = SAMPLE_COLUMNS.names
    pd.testing.assert_frame_equal(there.table[columns], session.table[columns])
    assert there.shards == session.shards
    with there.loader:
        for shard in range(there.shards):
            measure.score(there, shard)
    scores = pd.concat(pd.read_parquet(there.run.part(shard)) for shard in range(there.shards))
    assert scores["sample_id"].tolist() == session.table["sample_id"].tolist()
    assert scores["reason"].dropna().tolist() == ["CHANGED_DURING_RUN"]


def test_a_list_of_samples_is_read_as_it_was_written(tmp_path: Path) -> None:
    sample = Sample(
        "caf\\xe9/1.png",
        Path(os.fsdecode(b"/data/caf\xe9/1.png")),
        "café",
        boxes=((0.0, 1.0, 2.5, 3.0),),
        metadata={"camera": 3},
        annotation=Annotation("coco_segments", Path("/data/a.json"), ((3, 9),), (1, 2), (40, 30)),
        member=("tar", "1.png", 512),
        sha256="ab" * 32,
    )
    plain = Sample("2.png", Path("/data/2.png"), "dog", mask=Path("/data/mask.png"))
    table = samples_table([sample, plain], [0, 1])
    write_table(tmp_path / "samples.parquet", sample_rows(table))
    assert [*map(sample_of, read_samples(tmp_path / "samples.parquet").itertuples())] == [
        sample,
        plain,
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": "0" * 64}, "another audit .fingerprint .*, expected 00000000"),
        ({"out": "nowhere"}, "this worker finds no run here"),
        ({"overrides": ("run.seed=7",)}, "its manifest, weights or software differ"),
    ],
)
def test_a_worker_that_sees_something_else_is_refused(
    session: Session, changes: dict[str, Any], message: str
) -> None:
    key = changes.pop("key", session.key)
    request = dataclasses.replace(session.request, **changes)
    with pytest.raises(AuditError, match=message):
        on_worker(dataclasses.replace(session, key=key, request=request))


def test_a_worker_without_the_kind_of_device_is_refused(session: Session) -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    facts = read_facts(session.run.run_json)
    try:
        update_facts(session.run, device="cuda:1 (NVIDIA H100)")
        # Another request, since what a worker opened last is kept.
        request = dataclasses.replace(session.request, accept_accuracy=True)
        with pytest.raises(AuditError, match="torch finds no CUDA device here"):
            on_worker(dataclasses.replace(session, request=request))
    finally:
        update_facts(session.run, device=facts.device)


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

"""Audits for tests: the public call, without the pages that most of them do not read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cloudpickle

import audit
from audit.pipeline import measure
from audit.pipeline.handles import Handle
from audit.pipeline.opening import open_session
from audit.pipeline.prepare import prepare
from audit.pipeline.progress import SILENT, Progress
from audit.pipeline.session import AuditRequest, Session
from audit.pipeline.steps import P, T
from audit.run_folder import RunFolder


def audited(manifest: Path, out: Path, *overrides: str, **more: Any) -> RunFolder:
    """The folder of a finished audit."""
    without_pages = ("report.formats=[]", *overrides)
    return audit.run(manifest, out, device="cpu", overrides=without_pages, **more).folder


def scored(manifest: Path, out: Path, *overrides: str) -> RunFolder:
    """The folder of an audit that went as far as its scores, for tests that read no more."""
    session = opened(manifest, out, *overrides)
    with session.loader:
        prepare(session)
        for shard in range(session.shards):
            measure.score(session, shard)
        measure.gather_scores(session)
    return session.run


class Elsewhere:
    """Makes parts in another order, each twice, from what crosses the border of a process."""

    def run_step(self, name: str, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return step(*args, **kwargs)

    def run_parts(
        self,
        name: str,
        make: Callable[[Session, T, Progress], bool],
        session: Session,
        progress: Progress,
        parts: Mapping[T, int],
    ) -> None:
        for part in reversed(parts):
            sent = cloudpickle.dumps((Handle(session), make, part))
            for is_new in (True, False):
                handle, there, arrived = cloudpickle.loads(sent)
                assert there(handle.session, arrived, SILENT) == is_new


def opened(manifest: Path, out: Path | str = "", *overrides: str) -> Session:
    """A session whose steps a test takes one by one."""
    return open_session(AuditRequest(str(manifest), str(out), overrides, device="cpu"))

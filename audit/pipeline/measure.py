"""The steps that measure, on a run folder and without Prefect: each reads and writes files."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pandas as pd

from audit.dataset.loader import Loader
from audit.measuring.collect import collect
from audit.measuring.controls import plant_tags, untrained_lifts
from audit.measuring.donors import DonorBank, build_bank
from audit.measuring.follow_up import follow_up
from audit.measuring.shards import score_shard, shard_count
from audit.pipeline.session import AuditRequest, Session, open_session
from audit.run_folder import RunFolder, write_json
from audit.verdicts.evidence import find
from audit.verdicts.suspicion import choose_pairs

_log = logging.getLogger(__name__)


@contextmanager
def timed(run: RunFolder, step: str) -> Iterator[None]:
    """Add the seconds of a step to ``run.json``, also where it fails."""
    began = time.monotonic()
    try:
        yield
    finally:
        timings = run.read_run().get("timings", {})
        timings[step] = round(timings.get(step, 0.0) + time.monotonic() - began, 3)
        run.update_run(timings=timings)


def gather_donors(request: AuditRequest) -> None:
    """Write the bank of backgrounds, unless it is there or every swap has been made."""
    session = open_session(request)
    shards = shard_count(len(session.table), session.manifest.run.shard_size)
    if not all(session.run.part(shard).exists() for shard in range(shards)):
        open_bank(session)


def open_bank(session: Session) -> DonorBank | None:
    """The bank of the run, made where it is missing; None without foregrounds."""
    if not session.has_foregrounds:
        return None
    interventions = session.manifest.interventions
    if not (session.run.donors / "donors.parquet").exists():
        with timed(session.run, "donors"), session.loader() as loader:
            build_bank(
                session.run.donors,
                session.table,
                loader,
                bank=interventions.bank,
                fill=interventions.fill,
                seed=session.manifest.run.seed,
                device=session.model.device,
            )
    return DonorBank(session.run.donors)


def score(
    request: AuditRequest, shard: int, on_progress: Callable[[int], None] = lambda _: None
) -> bool:
    """Score one shard, unless its part is there; returns whether it was computed now."""
    session = open_session(request)
    size = session.manifest.run.shard_size
    rows = session.table.iloc[shard * size : (shard + 1) * size]
    if session.run.part(shard).exists():
        on_progress(len(rows))
        return False
    bank = open_bank(session)
    with timed(session.run, "scores"), session.loader() as loader:
        score_shard(
            session.run,
            shard,
            rows,
            session.engine,
            session.measurement(),
            bank,
            loader,
            batch_size=session.batch_size(),
            on_progress=on_progress,
        )
    return True


def gather_scores(request: AuditRequest) -> dict[str, int]:
    """Join all parts into ``scores.parquet`` and write ``problems.csv``; returns the counts."""
    session = open_session(request)
    run = session.run
    shards = shard_count(len(session.table), session.manifest.run.shard_size)
    collected = collect(run, shards, session.skipped)
    counts: dict[str, int] = collected["counts"] | {"classes": len(session.labels)}
    hashes = run.read_run()["hashes"] | {"data": collected["data"]}
    run.update_run(counts=counts, hashes=hashes)
    return counts


def look_again(request: AuditRequest, on_progress: Callable[[int], None] = lambda _: None) -> int:
    """Measure with fresh donors the pairs of classes where the first pass leaves a doubt.

    Returns
    -------
    int
        Pairs looked at.
    """
    session = open_session(request)
    run = session.run
    if run.follow_up.exists() or not session.has_foregrounds:
        return 0
    scores = pd.read_parquet(run.scores)
    decided = find(scores, session.manifest, session.labels, session.class_names, True)
    pairs = choose_pairs(scores, decided)
    bank = open_bank(session) if len(pairs) else None
    if bank is None:
        return 0
    with timed(run, "second look"), session.loader() as loader:
        follow_up(
            run,
            session.table,
            scores,
            pairs,
            session.engine,
            bank,
            loader,
            seed=session.manifest.run.seed,
            batch_size=session.batch_size(),
            on_progress=on_progress,
        )
    return len(pairs)


def check_itself(request: AuditRequest) -> bool:
    """Measure what the controls need; returns whether it was measured now."""
    session = open_session(request)
    run = session.run
    bank = None if run.controls.exists() else open_bank(session)
    if bank is None:
        return False
    scores = pd.read_parquet(run.scores)
    with timed(run, "controls"), session.loader() as loader:
        tags = plant_tags(
            session.engine,
            session.table,
            scores,
            bank,
            loader,
            seed=session.manifest.run.seed,
        )
        lifts = _untrained_lifts(session, scores, loader)
    write_json(run.controls, {"tags": tags, "lifts": lifts})
    return True


def _untrained_lifts(
    session: Session, scores: pd.DataFrame, loader: Loader
) -> Mapping[str, list[float]]:
    try:
        return untrained_lifts(session.engine, session.table, scores, session.measurement(), loader)
    except Exception:
        # A network that cannot be copied or started anew is no reason to lose the night.
        _log.warning("the untrained network could not be measured", exc_info=True)
        return {}

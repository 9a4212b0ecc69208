"""The steps that measure: each reads and writes files, and what is there is not made again."""

from __future__ import annotations

import logging
from functools import partial

import pandas as pd

from audit.cancellation import stop_if_asked
from audit.errors import ModelError, RunFolderError
from audit.findings import (
    ControlMeasurements,
    Counts,
    MapChecks,
    UntrainedLifts,
    read_controls,
    read_facts,
    write_controls,
)
from audit.measuring.backgrounds import build_bank
from audit.measuring.collect import collect
from audit.measuring.controls import plant_tags, untrained_lifts
from audit.measuring.donors import DonorBank, is_whole
from audit.measuring.map_checks import check_maps
from audit.measuring.plan import Workbench
from audit.measuring.shards import score_again, score_shard, try_again
from audit.pipeline.progress import SILENT, Progress, counted
from audit.pipeline.run_json import update_facts
from audit.pipeline.session import Session
from audit.run_folder import RunFolder

_log = logging.getLogger(__name__)


def open_bank(session: Session) -> DonorBank | None:
    """The bank of the run, made where it is missing; None without foregrounds."""
    if not session.has_foregrounds:
        return None
    interventions = session.manifest.interventions
    if not is_whole(session.run.donors):
        with session.loader as loader:
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


def score(session: Session, shard: int, progress: Progress = SILENT) -> bool:
    """Score one shard, unless its part is there and whole; returns whether it was computed now."""
    part = session.part(shard)

    def advance(count: int) -> None:
        stop_if_asked()
        progress.advance("scores", count)

    if part.is_finished:
        if again := try_again(part):
            with session.workbench() as bench:
                score_again(part, again, bench, open_bank(session))
        advance(len(part.samples))
        return False
    bank = open_bank(session)
    with session.workbench() as bench:
        score_shard(part, bench, bank, on_progress=advance)
    return True


def gather_scores(session: Session) -> Counts:
    """Join all parts into ``scores.parquet`` and write ``problems.csv``; returns the counts."""
    run = session.run
    parts = [session.part(shard) for shard in range(session.shards)]
    collected = collect(run, parts, session.skipped)
    counts = collected.counts.model_copy(update={"classes": len(session.labels)})
    hashes = read_facts(run.run_json).hashes.model_copy(update={"data": collected.data})
    update_facts(run, counts=counts, hashes=hashes)
    return counts


def run_controls(session: Session, progress: Progress = SILENT) -> bool:
    """Measure what the controls need; returns whether it was measured now."""
    run, checked = session.run, session.manifest.saliency.checked
    if _are_measured(run) or not (session.has_foregrounds or checked):
        return False
    bank = open_bank(session)
    scores = pd.read_parquet(run.scores)
    made = ControlMeasurements()
    with session.workbench(partial(counted, progress, "controls")) as bench:
        if bank is not None:
            tags, lifts = plant_tags(scores, bench, bank), _untrained_lifts(scores, bench)
            made = ControlMeasurements(tags=tags, lifts=lifts)
        if checked:
            maps = _map_checks(scores, bench, session.saliency.name)
            made = made.model_copy(update={"maps": maps})
    write_controls(run.controls, made)
    return True


def _map_checks(scores: pd.DataFrame, bench: Workbench, method: str) -> MapChecks | None:
    try:
        return check_maps(scores, bench, method)
    except Exception:
        # As below: what a network does when it has forgotten half of itself is no reason.
        _log.warning("the maps could not be tried", exc_info=True)
        return None


def _are_measured(run: RunFolder) -> bool:
    try:
        read_controls(run.controls)
    except RunFolderError:
        return False
    return run.controls.exists()


def _untrained_lifts(scores: pd.DataFrame, bench: Workbench) -> UntrainedLifts:
    try:
        return untrained_lifts(scores, bench)
    except ModelError as error:
        _log.warning("controls: the maps are compared with no untrained network's: %s", error)
        return UntrainedLifts()
    except Exception:
        # A network that cannot be copied or started anew is no reason to lose the night.
        _log.warning("the untrained network could not be measured", exc_info=True)
        return UntrainedLifts()

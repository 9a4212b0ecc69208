"""The steps of an audit on a run folder, without Prefect: each reads files and writes files."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from audit.cues.backgrounds import busiest, whose_background
from audit.dataset.loader import Loader
from audit.manifest import Manifest
from audit.measuring.collect import collect, inert
from audit.measuring.controls import plant_tags, untrained_lifts
from audit.measuring.donors import DonorBank, build_bank
from audit.measuring.follow_up import follow_up
from audit.measuring.shards import score_shard, shard_count
from audit.report.exhibits import choose, draw
from audit.run_folder import RunFolder, write_atomically, write_json
from audit.verdicts.effects import confusions
from audit.verdicts.evidence import CLASS_COLUMNS, find, plain, write_down
from audit.verdicts.findings import SUSPECT
from audit.verdicts.suspicion import choose_pairs
from flows.cmv_files import draw_cmvs
from flows.cue_files import draw_cues, kept_cues
from flows.cue_plans import plans
from flows.mean_maps import mean_maps
from flows.preparing import now
from flows.session import AuditRequest, Session, open_session

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
        _open_bank(session)


def _open_bank(session: Session) -> DonorBank | None:
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
    bank = _open_bank(session)
    with timed(session.run, "scores"), session.loader() as loader:
        score_shard(
            session.run,
            shard,
            rows,
            session.model,
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
    collected = collect(run, shards, session.dataset.skipped)
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
    bank = _open_bank(session) if len(pairs) else None
    if bank is None:
        return 0
    with timed(run, "second look"), session.loader() as loader:
        follow_up(
            run,
            session.table,
            scores,
            pairs,
            session.model,
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
    bank = None if run.controls.exists() else _open_bank(session)
    if bank is None:
        return False
    scores = pd.read_parquet(run.scores)
    with timed(run, "controls"), session.loader() as loader:
        tags = plant_tags(
            session.model,
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
        return untrained_lifts(session.model, session.table, scores, session.measurement(), loader)
    except Exception:
        # A network that cannot be copied or started anew is no reason to lose the night.
        _log.warning("the untrained network could not be measured", exc_info=True)
        return {}


def decide_classes(run: RunFolder, manifest: Manifest) -> dict[str, Any]:
    """Turn the stored scores into findings; loads no model. Returns the summary.

    Exhibits, cues and CMVs that were drawn before stay with their classes.
    """
    facts = run.read_run()
    class_names = facts["class_names"]
    labels = {int(index): name for index, name in facts["labels"].items()}
    scores = pd.read_parquet(run.scores)
    has_foregrounds = facts["foreground_source"] != "none"
    with timed(run, "verdicts"):
        second = pd.read_parquet(run.follow_up) if run.follow_up.exists() else None
        table = find(scores, manifest, labels, class_names, has_foregrounds, second)
        confused = confusions(scores, class_names)
        backgrounds = whose_background(scores, labels)
        checks = json.loads(run.controls.read_text()) if run.controls.exists() else None
        written = write_down(
            table,
            scores,
            manifest,
            confused,
            facts["foreground_source"],
            facts["model_name"],
            checks,
        )
    written["whose_background"] = plain(busiest(backgrounds))
    kept = table[list(CLASS_COLUMNS)]
    write_atomically(run.classes, lambda temporary: kept.to_parquet(temporary, index=False))
    write_atomically(run.classes_csv, lambda temporary: _to_csv(kept, temporary))
    write_atomically(run.confusions, lambda temporary: confused.to_parquet(temporary, index=False))
    write_atomically(run.whose_background, lambda path: backgrounds.to_parquet(path, index=False))
    write_json(run.findings, written)
    summary: dict[str, Any] = written["summary"]
    return summary


def _to_csv(table: pd.DataFrame, path: Any) -> None:
    shown = table.assign(reasons=[" ".join(said) for said in table["reasons"]])
    shown.map(inert).to_csv(path, index=False, lineterminator="\n")


def draw_exhibits(
    request: AuditRequest, on_progress: Callable[[int], None] = lambda _: None
) -> int:
    """Draw the samples that the report shows, more of them for suspect classes."""
    session = open_session(request)
    run = session.run
    suspect = {f["label"] for f in read_findings(run)["findings"] if f["verdict"] == SUSPECT}
    scores = pd.read_parquet(run.scores)
    choices = [
        choice
        for label, own in scores.groupby("label")
        for choice in choose(own, each=2 if label in suspect else 1)
    ]
    index = run.exhibits / "index.json"
    ids = session.table["sample_id"]
    before = json.loads(index.read_text(encoding="utf-8")) if index.exists() else []
    if {(ids[c.row], c.role) for c in choices} == {(e["sample_id"], e["role"]) for e in before}:
        return len(before)
    bank = _open_bank(session)
    with timed(run, "exhibits"), session.loader() as loader:
        drawn = draw(
            run,
            session.table,
            scores,
            choices,
            session.class_names,
            session.model,
            session.measurement(),
            bank,
            loader,
            batch_size=session.batch_size(),
            on_progress=on_progress,
        )
    write_json(index, plain(drawn))
    return len(drawn)


def find_cues(request: AuditRequest) -> int:
    """Look for what in the background the suspect classes lean on; returns for how many."""
    session = open_session(request)
    run = session.run
    suspects = [f for f in read_findings(run)["findings"] if f["verdict"] == SUSPECT]
    if not suspects:
        return 0
    wanted = plans(session, pd.read_parquet(run.scores), suspects)
    done = kept_cues(run, wanted)
    if len(done) == len(wanted):
        return len(done)
    with timed(run, "cues"), session.loader() as loader:
        return len(draw_cues(session, wanted, done, loader))


def visualize(request: AuditRequest, on_progress: Callable[[int], None] = lambda _: None) -> int:
    """Make the class model visualizations that the manifest asks for; returns how many."""
    session = open_session(request)
    run = session.run
    classes = cmv_classes(session)
    with timed(run, "cmv"):
        made = draw_cmvs(
            run,
            session.model,
            {label: session.labels[label] for label in classes},
            session.manifest.cmv,
            seed=session.manifest.run.seed,
            model_key=session.model.sha256,
            on_progress=on_progress,
        )
    return len(made)


def cmv_classes(session: Session) -> list[int]:
    """The output indices of the classes whose CMV the manifest asks for."""
    wanted = session.manifest.cmv.classes
    if wanted == "none":
        return []
    if wanted == "suspect":
        findings = read_findings(session.run)["findings"]
        return sorted(f["label"] for f in findings if f["verdict"] == SUSPECT)
    names = set(session.labels.values()) if wanted == "all" else set(wanted)
    return sorted(label for label, name in session.labels.items() if name in names)


def compose(run: RunFolder) -> None:
    """Lay exhibits, cues and CMVs, where they were drawn, into ``findings.json``."""
    written = read_findings(run)
    exhibits, cues, cmvs = (_index(folder) for folder in (run.exhibits, run.cues, run.cmv))
    averaged = mean_maps(run)
    for finding in written["findings"]:
        finding |= averaged.get(finding["label"], {})
        finding["exhibits"] = exhibits.get(finding["label"], [])
        finding["cues"] = next(iter(cues.get(finding["label"], [])), None)
        finding["cmv"] = cmvs.get(finding["label"], [])
    write_json(run.findings, written)


def _index(folder: Path) -> dict[int, list[dict[str, Any]]]:
    """The entries of a folder's index, by label."""
    path = folder / "index.json"
    by_label: dict[int, list[dict[str, Any]]] = {}
    for entry in json.loads(path.read_text(encoding="utf-8")) if path.exists() else []:
        by_label.setdefault(entry["label"], []).append(entry)
    return by_label


def read_findings(run: RunFolder) -> dict[str, Any]:
    """What ``findings.json`` holds."""
    written: dict[str, Any] = json.loads(run.findings.read_text(encoding="utf-8"))
    return written


def count_cmvs(session: Session) -> int:
    """How many class model visualizations the manifest asks for."""
    wanted = session.manifest.cmv
    return len(cmv_classes(session)) * len(wanted.recipes) * len(wanted.objectives)


def mark_failed(run: RunFolder) -> None:
    """Say in ``run.json`` that the run ended early, where there is one to say it in."""
    if run.run_json.exists():
        run.update_run(status="failed", finished=now())


def finish(run: RunFolder, summary: dict[str, Any]) -> None:
    """Close the run: it is complete, or finished but incomplete."""
    shutil.rmtree(run.donors, ignore_errors=True)
    run.update_run(
        status="complete" if summary["complete"] else "incomplete",
        finished=now(),
        summary=plain(summary),
    )

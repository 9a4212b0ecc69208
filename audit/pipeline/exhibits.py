"""The steps that draw: exhibits, cues and class model visualizations."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audit.cues.cmv_alignment import FEWEST_CLASSES, IMAGES, likeness
from audit.cues.find import sampled
from audit.manifest import fingerprint
from audit.pipeline.cmv_material import Material
from audit.pipeline.cmvs import comparable, draw_cmvs, read_cmv
from audit.pipeline.cue_plans import plans
from audit.pipeline.cues import draw_cues, kept_cues
from audit.pipeline.decide import read_findings
from audit.pipeline.measure import open_bank, timed
from audit.pipeline.session import AuditRequest, Session, open_session
from audit.report.exhibits import choose, draw
from audit.run_folder import write_atomically, write_json
from audit.verdicts.decide import SUSPECT
from audit.verdicts.evidence import plain


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
    bank = open_bank(session)
    with timed(run, "exhibits"), session.loader() as loader:
        drawn = draw(
            run,
            session.table,
            scores,
            choices,
            session.class_names,
            session.engine,
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
            {label: session.labels[label] for label in classes},
            session.manifest.cmv,
            Material(session, _rivals(session)),
            on_progress=on_progress,
        )
        _compare(session, made)
    return len(made)


def _compare(session: Session, made: list[dict[str, Any]]) -> None:
    """Compare the CMVs with objects and backgrounds of the images, unless that was done."""
    run = session.run
    chosen = comparable(made)
    key = fingerprint(session.key, {str(k): [e["key"], e["failed"]] for k, e in chosen.items()})
    path = run.likenesses
    if path.exists() and (pq.read_schema(path).metadata or {}).get(b"key") == key.encode():
        return
    path.unlink(missing_ok=True)
    if not session.has_foregrounds or len(chosen) < FEWEST_CLASSES:
        return
    scores, seed = pd.read_parquet(run.scores), session.manifest.run.seed
    labels = sorted(set(scores["label"]))
    with session.loader() as loader:
        found = likeness(
            session.table,
            [row for label in labels for row in sampled(scores, label, seed, IMAGES)],
            {label: read_cmv(run, entry) for label, entry in chosen.items()},
            session.engine,
            loader,
            fill=session.manifest.interventions.fill,
            batch_size=session.batch_size(),
        )
    # A failed picture counts in the mean of all; of its class nothing is said.
    found = found[[not chosen[label]["failed"] for label in found["label"]]]
    kept = pa.Table.from_pandas(found, preserve_index=False).replace_schema_metadata({"key": key})
    write_atomically(path, lambda temporary: pq.write_table(kept, temporary))


def _rivals(session: Session) -> dict[int, int]:
    """The class that each is contrasted with, where the findings name one."""
    found = read_findings(session.run)["findings"] if session.run.findings.exists() else []
    places = {name: index for index, name in enumerate(session.class_names)}
    return {f["label"]: places[f["contrast_class"]] for f in found if f["contrast_class"] in places}


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


def count_cmvs(session: Session) -> int:
    """How many class model visualizations the manifest asks for."""
    wanted = session.manifest.cmv
    return len(cmv_classes(session)) * len(wanted.recipes) * len(wanted.objectives)

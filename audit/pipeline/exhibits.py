"""The pictures of samples that the report shows, and the mean map of each suspect class."""

from __future__ import annotations

import pandas as pd

from audit.findings import Exhibit, read_index, write_index
from audit.pipeline.decide import Decided
from audit.pipeline.mean_maps import average_maps
from audit.pipeline.measure import open_bank
from audit.pipeline.session import Session
from audit.report.exhibits import choose, draw


def draw_exhibits(session: Session, decided: Decided) -> None:
    """Draw the samples that the report shows, more of them for suspect classes, and mean maps."""
    _draw_samples(session, {finding.label for finding in decided.suspects})
    average_maps(session, decided.suspects)


def _draw_samples(session: Session, suspect: set[int]) -> None:
    run = session.run
    scores = pd.read_parquet(run.scores)
    choices = [
        choice
        for label, own in scores.groupby("label")
        for choice in choose(own, is_suspect=label in suspect)
    ]
    index = run.exhibits / "index.json"
    ids = session.table["sample_id"]
    before = read_index(index, Exhibit)
    if {(ids[c.row], c.role) for c in choices} == {(e.sample_id, e.role) for e in before}:
        return
    bank = open_bank(session)
    with session.workbench() as bench:
        drawn = draw(run, scores, choices, session.class_names, bench, bank)
    write_index(index, drawn)

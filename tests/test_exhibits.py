"""The pictures that a report shows are those that were measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from planted import CLASSES, write_dataset

from audit.measuring.donors import DonorBank
from audit.pipeline import measure, prepare
from audit.pipeline.session import AuditRequest, open_session
from audit.report.exhibits import Choice, draw


def test_a_swap_shows_the_donor_that_was_measured(tmp_path: Path) -> None:
    request = AuditRequest(
        str(write_dataset(tmp_path, per_class=2)), str(tmp_path / "run"), (), None, "cpu"
    )
    for shard in range(prepare.prepare(request)):
        measure.score(request, shard)
    measure.gather_scores(request)
    session, scores = open_session(request), pd.read_parquet(request.run.scores)
    bank = DonorBank(request.run.donors)
    # Whatever a draw would give today, these donors are said to have been met: image 3 (a bee) did
    # harm, image 11 (a fox) none. The last sample met one that lends nothing any more.
    donors = [[11, 3], [11, 11], [10_000, 10_000]]
    scores = scores.iloc[:3].assign(
        swap_other_donor_rows=donors,
        swap_other_donor_labels=[[row // 2 % len(CLASSES) for row in rows] for rows in donors],
        swap_other_predictions=[[5, 1]] * 3,
        swap_other_probabilities=[[0.9, 0.2]] * 3,
    )
    with session.loader() as loader:
        drawn = draw(
            request.run,
            session.table,
            scores,
            [Choice(row, "worst") for row in range(3)],
            session.class_names,
            session.engine,
            session.measurement(),
            bank,
            loader,
            batch_size=4,
        )
    shown = {entry["sample_id"]: entry for entry in drawn}
    first, second, third = (shown[scores.loc[row, "sample_id"]] for row in range(3))
    assert first["swap"]["donor_class"] == "bee"
    assert first["swap"]["probability"] == 0.2
    for entry, donor in ((first, 3), (second, 11)):
        with Image.open(request.run.path / entry["pictures"]["swap"]) as opened:
            rim = np.asarray(opened)[0]
        position = bank.rows.tolist().index(donor)
        assert np.array_equal(rim, bank.backgrounds[position, :, 0].T)
    assert third["swap"] is None
    assert third["pictures"]["swap"] is None

"""The pictures that a report shows are those that were measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from auditing import opened
from painted import PARTS
from PIL import Image
from planted import CLASSES, write_dataset

from audit.findings import Estimate, Exhibit, ExhibitPictures, Role
from audit.measuring.donors import DonorBank
from audit.measuring.part_effects import became_on, costliest_donor
from audit.pipeline import measure
from audit.pipeline.prepare import prepare
from audit.report.exhibits import Choice, choose, draw
from audit.report.sentences.evidence import disagreement, exhibit_line


def test_a_swap_shows_the_donor_that_was_measured(tmp_path: Path) -> None:
    session = opened(write_dataset(tmp_path, per_class=2), tmp_path / "run")
    prepare(session)
    for shard in range(session.shards):
        measure.score(session, shard)
    measure.gather_scores(session)
    run, scores = session.run, pd.read_parquet(session.run.scores)
    bank = DonorBank(run.donors)
    # Whatever a draw would give today, these donors are said to have been met: image 3 (a bee) did
    # harm, image 11 (a fox) none. The last sample met one that lends nothing any more.
    donors = [[11, 3], [11, 11], [10_000, 10_000]]
    scores = scores.iloc[:3].assign(
        swap_other_donor_rows=donors,
        swap_other_donor_labels=[[row // 2 % len(CLASSES) for row in rows] for rows in donors],
        swap_other_predictions=[[5, 1]] * 3,
        swap_other_probabilities=[[0.9, 0.2]] * 3,
    )
    choices = [Choice(row, Role.WORST) for row in range(3)]
    with session.workbench() as bench:
        drawn = draw(run, scores, choices, session.class_names, bench, bank)
    shown = {entry.sample_id: entry for entry in drawn}
    first, second, third = (shown[scores.loc[row, "sample_id"]] for row in range(3))
    assert first.swap.donor_class == "bee"
    assert first.swap.probability == 0.2
    for entry, donor in ((first, 3), (second, 11)):
        with Image.open(run.path / entry.pictures.swap) as picture:
            rim = np.asarray(picture)[0]
        position = bank.rows.tolist().index(donor)
        assert np.array_equal(rim, bank.backgrounds[position, :, 0].T)
    assert third.swap is None
    assert third.pictures.swap is None


def test_parts_are_measured_against_what_the_class_becomes_there(tmp_path: Path) -> None:
    session = opened(write_dataset(tmp_path, [1], per_class=4), tmp_path / "run")
    prepare(session)
    for shard in range(session.shards):
        measure.score(session, shard)
    measure.gather_scores(session)
    scores, bank = pd.read_parquet(session.run.scores), DonorBank(session.run.donors)
    rows = scores[scores["label"] == 1]

    def rival(choice: Choice) -> str | None:
        with session.workbench() as bench:
            (entry,) = draw(session.run, scores, [choice], session.class_names, bench, bank)
        return entry.part_effects.rival_class

    (stays, *_) = choose(rows, is_suspect=True)
    assert stays.part_donor is not None
    assert stays.part_rival is None
    second = rival(stays)
    # Said to have become another class than the one that comes second in the image.
    other = next(k for k, name in enumerate(CLASSES) if k != 1 and name != second)
    answers = [[other] * len(donors) for donors in rows["swap_other_donor_labels"]]
    (turns, *_) = choose(rows.assign(swap_other_predictions=answers), is_suspect=True)
    assert turns.part_rival == other
    assert rival(turns) == CLASSES[other]


def test_the_costliest_donor_is_that_of_the_lowest_mean_over_enough_swaps() -> None:
    own = pd.DataFrame(
        {
            "swap_other_donor_labels": [[1, 2], [1, 2], [2, 1], None, [3, 2]],
            "swap_other_probabilities": [[0.2, 0.9], [0.4, 0.8], [0.7, 0.3], None, [0.0, 0.9]],
        }
    )
    # Class 3 cost more, but once only.
    assert costliest_donor(own) == 1
    assert costliest_donor(own.iloc[3:]) is None


def test_the_rival_is_what_images_of_a_class_become_on_those_backgrounds() -> None:
    own = pd.DataFrame(
        {
            "label": 0,
            "swap_other_donor_labels": [[1, 2], [1, 2], [2, 1], None, [3, 2]],
            "swap_other_predictions": [[3, 4], [1, 4], [0, 3], None, [0, 0]],
        }
    )
    assert became_on(own, 1) == 3
    assert became_on(own, 2) == 4
    # On backgrounds of class 3 they stay what they are; class 5 lent none.
    assert became_on(own, 3) is became_on(own, 5) is None


def test_a_class_that_the_model_writes_otherwise_has_one_name_in_all_that_is_shown(
    tmp_path: Path,
) -> None:
    manifest = write_dataset(tmp_path, per_class=2)
    numbered = [f"n{index:08d}-{name.upper()}" for index, name in enumerate(CLASSES)]
    (tmp_path / "classes.txt").write_text("\n".join(numbered))
    session = opened(manifest, tmp_path / "run", "model.classes=classes.txt")
    assert session.class_names == CLASSES
    assert session.output("bee") == session.output("n00000001-BEE") == 1
    prepare(session)
    for shard in range(session.shards):
        measure.score(session, shard)
    measure.gather_scores(session)
    scores = pd.read_parquet(session.run.scores)
    with session.workbench() as bench:
        (entry,) = draw(
            session.run, scores, [Choice(0, Role.TYPICAL)], session.class_names, bench, None
        )
    assert exhibit_line(entry).startswith("Right: ant with confidence")


def test_the_pictures_differ_only_where_the_surroundings_count_and_no_less_than_the_object() -> (
    None
):
    def said(lift: float, **changed: Estimate) -> str | None:
        effects = PARTS.model_copy(update=changed)
        pictures = ExhibitPictures(image="a.png")
        seen = dict.fromkeys(("confidence", "foreground_area", "foreground_mass"), 0.5)
        names = dict.fromkeys(("sample_id", "label_name", "prediction_name"), "wolf")
        exhibit = Exhibit(
            label=0,
            role=Role.WORST,
            mass_lift=lift,
            pictures=pictures,
            part_effects=effects,
            **seen,
            **names,
        )
        return disagreement(exhibit)

    assert said(1.0) is not None
    assert said(-1.0) is None
    # Beyond its control, and yet maybe nothing by itself: backgrounds of its own class help.
    assert said(1.0, surroundings=Estimate(value=-1.4, low=-3.0, high=0.2)) is None
    assert said(1.0, beyond_control=Estimate(value=-1.4, low=-3.0, high=0.2)) is None
    # The object costs more, and the map lies on it.
    assert said(1.0, difference=Estimate(value=3.0, low=1.2, high=4.8)) is None
    assert said(1.0, difference=Estimate(value=0.5, low=-1.2, high=2.2)) is not None

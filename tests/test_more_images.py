"""A second look at the classes that the first images leave undecided, and at no other."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from auditing import Elsewhere, audited, opened
from PIL import Image
from planted import CLASSES, write_dataset

from audit.errors import ManifestError
from audit.findings import ClassFinding, Code, Verdict, read_facts
from audit.manifest import load_manifest
from audit.measuring.more_images import MORE_COLUMNS
from audit.pipeline import more_images as step
from audit.pipeline.decide import decide, more_images_of
from audit.pipeline.follow_up import follow_up
from audit.pipeline.measure import gather_scores, score
from audit.pipeline.more_images import measure_more_images
from audit.pipeline.prepare import prepare
from audit.pipeline.report import report_again
from audit.pipeline.session import Session
from audit.report.sentences import english
from audit.run_folder import RunFolder
from audit.verdicts.effects import class_effects
from audit.verdicts.more_images import (
    STAGES,
    MoreImages,
    laid_in,
    level_of,
    may_be_looked_at_twice,
)
from audit.verdicts.statistics import LEVEL

FIRST = 8
WORDS = (
    f"interventions.images={FIRST}",
    f"verdict.minimum_images={FIRST}",
    "interventions.extra=[]",
    "interventions.donors=2",
    "foreground.second_outline=never",
    "saliency.checked=false",
    "run.min_coverage=0.3",
)
OPEN = ("cat", "elk")


def half_without_masks(folder: Path) -> Path:
    """A world of 30 images a class, two of which have an object in every second image alone."""
    manifest = write_dataset(folder, [1], per_class=30)
    for name in OPEN:
        for path in sorted((folder / "masks" / name).glob("*.png"))[::2]:
            Image.fromarray(np.zeros((32, 32), np.uint8)).save(path)
    return manifest


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return half_without_masks(tmp_path_factory.mktemp("undecided"))


@pytest.fixture(scope="module")
def finished(world: Path) -> RunFolder:
    return audited(world, world.parent / "finished", *WORDS)


def before_the_step(manifest: Path, out: Path, *more: str) -> Session:
    session = opened(manifest, out, *WORDS, *more)
    with session.loader:
        prepare(session)
        for shard in range(session.shards):
            score(session, shard)
        gather_scores(session)
        follow_up(session)
    return session


def decided(run: RunFolder, manifest: Path, *more: str) -> dict[str, ClassFinding]:
    found = decide(run, load_manifest(manifest, [*WORDS, *more])).findings.findings
    return {finding.label_name: finding for finding in found}


def doubled(p_values: list[float]) -> float:
    """What two looks at such p-values count."""
    return float(np.minimum(1, STAGES * np.fmin.reduce(p_values)))


def test_undecided_classes_meet_further_images_and_are_decided(
    world: Path, finished: RunFolder
) -> None:
    table, scores = pd.read_parquet(finished.more_images), pd.read_parquet(finished.scores)
    assert list(table.columns) == [*MORE_COLUMNS.names, "run_id"]
    assert {CLASSES[label] for label in table["label"]} == set(OPEN)
    met = scores["swap_other_margin"].notna()
    assert not set(table["sample_id"]) & set(scores.loc[met, "sample_id"])
    classes = decided(finished, world)
    by_first = decided(finished, world, "interventions.more=0")
    for name in OPEN:
        own = table[table["label"] == CLASSES.index(name)]
        first = by_first[name].judged
        assert by_first[name].verdict is Verdict.INCONCLUSIVE
        assert first < FIRST <= classes[name].judged == first + len(own)
        assert len(own) <= 2 * FIRST
        assert classes[name].verdict is Verdict.CLEAR
        said = classes[name].reasons[-1]
        assert said.code is Code.LOOKED_TWICE
        assert dict(said)["values"] == {"images": classes[name].judged, "first": first}
        assert f"It was looked at twice: {first} images" in english(said)
    for name in set(CLASSES) - set(OPEN):
        assert classes[name].judged == FIRST
        assert Code.LOOKED_TWICE not in {reason.code for reason in classes[name].reasons}
    assert classes["bee"].verdict is Verdict.SUSPECT


def test_their_swaps_are_those_that_the_first_pass_would_have_made(
    world: Path, finished: RunFolder, tmp_path: Path
) -> None:
    session = opened(world, tmp_path / "all", *WORDS, "interventions.images=all")
    with session.loader:
        prepare(session)
        for shard in range(session.shards):
            score(session, shard)
        gather_scores(session)
    everything = pd.read_parquet(session.run.scores).set_index("sample_id")
    table = pd.read_parquet(finished.more_images).set_index("sample_id")
    names = [name for name in MORE_COLUMNS.names if name not in ("sample_id", "label")]
    held = everything.loc[table.index, names]
    pd.testing.assert_frame_equal(table[names], held, check_dtype=False)


def test_what_other_classes_are_judged_by_stays_but_for_the_error(
    world: Path, finished: RunFolder
) -> None:
    classes = decided(finished, world)
    by_first = decided(finished, world, "interventions.more=0")
    for name in set(CLASSES) - set(OPEN):
        two, one = classes[name], by_first[name]
        assert two.background_gap == one.background_gap
        assert two.attraction == one.attraction
        assert two.background_gap_high >= one.background_gap_high
        assert two.p_value == pytest.approx(doubled([one.p_value]))
        # Who is suspect is not followed up.
        assert (two.victim_p is None) == (one.victim_p is None) == (name == "bee")
        if one.victim_p is not None:
            assert two.victim_p == pytest.approx(doubled([one.victim_p]))


def test_scores_are_the_same_to_the_last_bit_with_and_without(
    world: Path, finished: RunFolder, tmp_path: Path
) -> None:
    without = audited(world, tmp_path / "run", *WORDS, "interventions.more=0")
    assert without.scores.read_bytes() == finished.scores.read_bytes()
    assert not without.more_images.exists()
    facts = [read_facts(run.run_json) for run in (without, finished)]
    assert facts[0].fingerprint == facts[1].fingerprint
    # A page that asks for less, and one that asks again, are made from the tables alone.
    report_again(finished, world, [*WORDS, "interventions.more=0", "report.formats=[]"])
    assert set(
        pd.read_parquet(finished.classes).set_index("label_name")["verdict"][list(OPEN)]
    ) == {"inconclusive"}
    report_again(finished, world, [*WORDS, "report.formats=[]"])
    assert set(
        pd.read_parquet(finished.classes).set_index("label_name")["verdict"][list(OPEN)]
    ) == {"clear"}


def test_a_folder_without_the_table_is_decided_by_its_first_images(
    world: Path, tmp_path: Path
) -> None:
    session = before_the_step(world, tmp_path / "run")
    assert more_images_of(session.run, session.manifest) == MoreImages(frozenset())
    found = decided(session.run, world)
    assert found == decided(session.run, world, "interventions.more=0")


def test_parts_measured_elsewhere_in_another_order_and_after_an_end_give_the_same_bytes(
    world: Path, finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = before_the_step(world, tmp_path / "run", "run.shard_size=64")
    tables = ("more_images", "more_follow_up")

    def made() -> list[pd.DataFrame]:
        return [
            pd.read_parquet(getattr(run, name)).drop(columns="run_id")
            for run in (session.run, finished)
            for name in tables
        ]

    plain, measured = step.swap_more, []

    def ends(chosen: pd.DataFrame, *more: Any) -> Any:
        measured.append(chosen["label"].unique().tolist())
        if len(measured) == 2:
            raise KeyboardInterrupt
        return plain(chosen, *more)

    labels = [CLASSES.index(name) for name in OPEN]
    with session.loader:
        monkeypatch.setattr(step, "swap_more", ends)
        with pytest.raises(KeyboardInterrupt):
            measure_more_images(session)
        assert measure_more_images(session) == 2
        assert measured == [[labels[0]], [labels[1]], [labels[1]]]
        assert measure_more_images(session) == 0
    here = made()
    for one, other in zip(here[:2], here[2:], strict=True):
        pd.testing.assert_frame_equal(one, other)
    monkeypatch.undo()
    before = [getattr(session.run, name).read_bytes() for name in tables]
    for name in tables:
        getattr(session.run, name).unlink()
    assert measure_more_images(session, runner=Elsewhere()) == 2
    assert [getattr(session.run, name).read_bytes() for name in tables] == before
    assert not session.run.more_images_parts.exists()


def test_a_class_needs_as_many_images_again(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [], per_class=2)

    def may(count: int, *overrides: str) -> bool:
        loaded = load_manifest(manifest, overrides)
        return bool(may_be_looked_at_twice(pd.Series([0] * count), loaded))

    assert [may(count) for count in (50, 99, 100, 400)] == [False, False, True, True]
    assert [may(count, "interventions.more=10") for count in (59, 60)] == [False, True]
    assert not may(400, "interventions.more=0")
    assert not may(400, "interventions.images=all")
    assert load_manifest(manifest).more_images == 100
    with pytest.raises(ManifestError, match="at least 0, found -1"):
        load_manifest(manifest, ["interventions.more=-1"])


def test_both_looks_together_have_the_error_of_one(finished: RunFolder) -> None:
    assert level_of(0, ()) == pytest.approx(LEVEL)
    assert level_of(0, {0}) == pytest.approx(1 - (1 - LEVEL) / 2)
    scores, swaps = pd.read_parquet(finished.scores), pd.read_parquet(finished.more_images)
    pairs = [pd.read_parquet(p) for p in (finished.follow_up, finished.more_follow_up)]
    names, twice = dict(enumerate(CLASSES)), frozenset(range(len(CLASSES)))
    more = MoreImages(twice, swaps, pairs[1])
    both = class_effects(scores, names, 0, pairs[0], more=more)
    first = class_effects(scores, names, 0, pairs[0])
    together = class_effects(laid_in(scores, swaps), names, 0, pd.concat(pairs))
    for two, one, all_images in zip(both, first, together, strict=True):
        p_values = [one.p_value]
        losses = [one.follow_up.p_value]
        if two.label in more.looked_at:
            p_values.append(all_images.p_value)
            losses.append(all_images.follow_up.p_value)
            assert two.background_gap.value == all_images.background_gap.value
            assert two.background_gap.high >= all_images.background_gap.high
            assert two.follow_up.share.value == all_images.follow_up.share.value
            assert two.attraction == one.attraction
        assert two.p_value == pytest.approx(doubled(p_values), nan_ok=True)
        assert two.follow_up.p_value == pytest.approx(doubled(losses), nan_ok=True)


def test_further_rows_are_laid_into_their_places() -> None:
    scores = pd.DataFrame(
        {"sample_id": list("abc"), "label": 0, "swap_other_margin": [1.0, np.nan, np.nan]}
    )
    swaps = pd.DataFrame({"sample_id": ["c"], "label": [0], "swap_other_margin": [3.0]})
    assert laid_in(scores, swaps)["swap_other_margin"].tolist()[::2] == [1.0, 3.0]
    assert laid_in(scores, swaps)["sample_id"].tolist() == list("abc")
    assert laid_in(scores, swaps.iloc[:0]) is scores
    assert dataclasses.replace(MoreImages(frozenset({0})), swaps=swaps).looked_at == {0}

"""The follow-up: a class that one other class robs of its votes, and nobody else."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from auditing import Elsewhere, audited, opened
from planted import CLASSES, write_dataset
from scipy import stats

from audit.errors import AuditError
from audit.findings import Verdict, read_facts
from audit.manifest import VerdictSection, load_manifest
from audit.measuring.follow_up import DONORS, FOLLOW_UP_COLUMNS
from audit.measuring.parts import StampedTable
from audit.measuring.swap_table import each_swap
from audit.pipeline import follow_up as step
from audit.pipeline.follow_up import follow_up
from audit.pipeline.report import report_again
from audit.pipeline.session import Session
from audit.run_folder import RunFolder
from audit.verdicts.affected import LOOKS, one_class_losses, pair_losses, undecided_pairs
from audit.verdicts.decide import Criteria, decide
from audit.verdicts.effects import class_effects
from audit.verdicts.statistics import EffectSize
from audit.verdicts.suspicion import PAIRS, choose_pairs
from audit.verdicts.swap_rates import cells_of, neutral_gaps, votes_taken

# Five other classes lend, so the attracting one is met in a fifth of the swaps: too little for
# this floor.
HIGH_FLOOR = "verdict.effect=0.2"


@pytest.fixture(scope="module")
def robbery(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunFolder]:
    folder = tmp_path_factory.mktemp("robbery")
    manifest = write_dataset(folder, robbed=[0, 3])
    return manifest, audited(manifest, folder / "run", HIGH_FLOOR)


def test_exactly_the_affected_class_is_found_and_the_attracting_one_is_named(
    robbery: tuple[Path, RunFolder],
) -> None:
    found = pd.read_parquet(robbery[1].classes).set_index("label_name")
    assert found.index[found["verdict"] == "suspect"].tolist() == ["ant"]
    victim = found.loc["ant"]
    assert victim["kind"] == "victim"
    assert victim["attractor"] == "dog"
    assert victim["background_gap"] < 0.2 <= 0.25 <= victim["victim_harm"]
    assert victim["victim_flips"] > 0.9
    assert "On backgrounds of dog" in victim["reasons"][0]


def test_without_the_follow_up_the_affected_class_is_missed(
    robbery: tuple[Path, RunFolder],
) -> None:
    scores = pd.read_parquet(robbery[1].scores)
    labels = dict(enumerate(CLASSES))
    found = decide(class_effects(scores, labels), Criteria(VerdictSection(effect=0.2)))
    assert Verdict.SUSPECT not in {decision.verdict for decision in found}


def test_the_pair_was_looked_at_with_fresh_donors_only(robbery: tuple[Path, RunFolder]) -> None:
    run = robbery[1]
    swaps, scores = pd.read_parquet(run.follow_up), pd.read_parquet(run.scores)
    assert swaps.columns.tolist() == [*FOLLOW_UP_COLUMNS.names, "run_id"]
    assert set(swaps["run_id"]) == {read_facts(run.run_json).run_id}
    assert {(0, 3)} <= set(zip(swaps["label"], swaps["donor_label"], strict=True))
    samples = pd.read_parquet(run.samples)
    assert (samples["label"].to_numpy()[swaps["donor_row"]] == swaps["donor_label"]).all()
    first = dict(zip(scores["sample_id"], scores["swap_other_donor_rows"], strict=True))
    same = dict(zip(scores["sample_id"], scores["swap_same_donor_rows"], strict=True))
    for sample_id, own in swaps.groupby("sample_id"):
        assert not set(own["donor_row"]) & {*first[sample_id], *same[sample_id]}
        assert (own.groupby(["donor_label", "look"]).size() <= own["look"].map(DONORS).max()).all()
        assert own["donor_row"].is_unique
    assert set(swaps["look"]) <= {1, 2}
    hashes = samples["sha256"].str[:16].to_numpy()
    assert (hashes[swaps["donor_row"]] == swaps["donor_hash"]).all()
    for kind in ("same", "other"):
        named = scores[[f"swap_{kind}_donor_rows", f"swap_{kind}_donor_hashes"]].dropna()
        assert all(hashes[rows].tolist() == held.tolist() for rows, held in named.to_numpy())


def test_a_finished_follow_up_is_not_repeated(robbery: tuple[Path, RunFolder]) -> None:
    manifest, run = robbery
    before = run.follow_up.stat().st_mtime_ns
    assert follow_up(opened(manifest, run.path, HIGH_FLOOR)) == 0
    assert run.follow_up.stat().st_mtime_ns == before


@pytest.fixture
def again(
    robbery: tuple[Path, RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Session, bytes]:
    """The same run before its follow-up, now of few classes in parts of one; and what comes of it
    in one part a look."""
    manifest, run = robbery
    shutil.copytree(run.path, tmp_path / "run")
    (tmp_path / "run" / run.follow_up.name).unlink()
    first = pd.DataFrame({"label": [0, 0, 1, 2], "donor_label": [3, 1, 0, 0]})
    monkeypatch.setattr(step, "find", lambda *_: [])
    monkeypatch.setattr(step, "choose_pairs", lambda *_: first)
    monkeypatch.setattr(step, "undecided_pairs", lambda *_: first.head(3))
    session = opened(manifest, tmp_path / "run", HIGH_FLOOR, "run.shard_size=200")
    whole = dataclasses.replace(session, manifest=load_manifest(manifest, [HIGH_FLOOR]))
    with whole.loader:
        assert follow_up(whole) == 4
    expected = session.run.follow_up.read_bytes()
    assert set(pd.read_parquet(session.run.follow_up)["look"]) == {1, 2}
    session.run.follow_up.unlink()
    return session, expected


def test_parts_measured_elsewhere_and_in_another_order_give_the_same_bytes(
    again: tuple[Session, bytes],
) -> None:
    session, expected = again
    assert follow_up(session, runner=Elsewhere()) == 4
    assert session.run.follow_up.read_bytes() == expected
    assert not session.run.follow_up_parts.exists()


def test_a_follow_up_that_was_cut_off_goes_on_with_the_parts_that_are_missing(
    again: tuple[Session, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    (session, expected), measured = again, []
    plain = step.measure_pairs

    def counted(scores: pd.DataFrame, pairs: pd.DataFrame, *more: Any) -> pd.DataFrame:
        measured.append(pairs["label"].unique().tolist())
        if len(measured) == 3:
            raise KeyboardInterrupt
        return plain(scores, pairs, *more)

    monkeypatch.setattr(step, "measure_pairs", counted)
    with session.loader:
        with pytest.raises(KeyboardInterrupt):
            follow_up(session)
        damaged = session.run.follow_up_parts / "look-1-part-00000.parquet"
        damaged.write_bytes(damaged.read_bytes()[:-20])
        follow_up(session)
    # The first part is not whole, the second is there, and the third was never written.
    assert measured == [[0], [1], [2], [0], [2], [0], [1]]
    assert session.run.follow_up.read_bytes() == expected


def test_the_report_step_keeps_the_follow_up(robbery: tuple[Path, RunFolder]) -> None:
    manifest, run = robbery
    report_again(run, manifest, [HIGH_FLOOR, "report.formats=[]"])
    found = pd.read_parquet(run.classes).set_index("label_name")
    assert found.loc["ant", "verdict"] == "suspect"


def scores_of(losses: dict[int, list[float]], donors: dict[int, list[int]]) -> pd.DataFrame:
    """One image a class with the given losses on the given donor classes."""
    return pd.DataFrame(
        {
            "sample_id": [str(label) for label in losses],
            "label": list(losses),
            "prediction": list(losses),
            "swap_same_probability": 0.9,
            "swap_same_margin": 1.0,
            "swap_same_predictions": [[label, label] for label in losses],
            "swap_other_probabilities": [[0.9 - loss for loss in held] for held in losses.values()],
            "swap_other_predictions": [[label] * len(held) for label, held in losses.items()],
            "swap_other_donor_labels": [donors[label] for label in losses],
        }
    )


def test_each_swap_unfolds_by_hand() -> None:
    swaps = each_swap(scores_of({0: [0.5, 0.0], 1: [0.1, 0.2]}, {0: [1, 2], 1: [0, 2]}))
    assert swaps["label"].tolist() == [0, 0, 1, 1]
    assert swaps["donor_label"].tolist() == [1, 2, 0, 2]
    assert swaps["lost"].tolist() == pytest.approx([0.5, 0.0, 0.1, 0.2])


def test_pairs_worth_a_look_by_hand() -> None:
    scores = scores_of(
        {0: [0.8, 0.0, 0.0], 1: [0.0, 0.0, 0.0], 2: [0.0, 0.0, 0.0], 3: [0.8, 0.0, 0.0]},
        {0: [3, 1, 2], 1: [0, 2, 3], 2: [0, 1, 3], 3: [0, 1, 2]},
    )
    pairs = choose_pairs(scores, open_cases=[0, 1, 2])
    # Class 0 on 3: (0.8 + 4 * clip(0.8/3 + 0.8/3 - 1.6/12)) / 5; class 3 is decided already.
    best = pairs.iloc[0]
    assert (best["label"], best["donor_label"]) == (0, 3)
    assert best["expected"] == pytest.approx((0.8 + 4 * (0.8 / 3 + 0.8 / 3 - 1.6 / 12)) / 5)
    assert 3 not in set(pairs["label"])
    assert (pairs.groupby("label").size() <= PAIRS).all()


def follow_up_of(rows: list[tuple[str, int, int, int, float, float]]) -> pd.DataFrame:
    names = ["sample_id", "label", "donor_label", "prediction", "probability", "margin"]
    return pd.DataFrame(rows, columns=names)


def test_the_loss_to_one_class_by_hand() -> None:
    scores = pd.concat(
        [scores_of({0: [0.0], 1: [0.0], 2: [0.0]}, {0: [1], 1: [0], 2: [0]})] * 3,
        ignore_index=True,
    )
    scores["sample_id"] = [f"{label}/{i // 3}" for i, label in enumerate(scores["label"])]
    rows: list[Any] = []
    for image, (lost, margin) in enumerate(((0.3, -1.0), (0.5, -2.0), (0.4, -1.5))):
        rows += [(f"0/{image}", 0, 1, 1, 0.9 - lost, margin)] * 2
        rows += [(f"0/{image}", 0, 2, 0, 0.85, 1.0)]
    found = one_class_losses(scores, follow_up_of(rows))[0]
    assert found.donor_label == 1
    assert found.probability_loss == pytest.approx(0.4)
    assert found.decisions_changed == pytest.approx(1.0)
    assert found.harm.value == pytest.approx(0.7)
    # Margins lost: 2, 3, 2.5; t = 2.5 / (0.5 / sqrt 3); two donor classes, and two looks at most.
    expected = 2 * LOOKS * stats.t.sf(2.5 / (0.5 / np.sqrt(3)), 2)
    assert found.p_value == pytest.approx(expected)


def test_losses_to_one_class_are_held_against_those_of_all_others(
    robbery: tuple[Path, RunFolder],
) -> None:
    scores, pairs = (pd.read_parquet(path) for path in (robbery[1].scores, robbery[1].follow_up))
    losses = [e.follow_up for e in class_effects(scores, dict(enumerate(CLASSES)), 0, pairs)]
    tested = [loss for loss in losses if np.isfinite(loss.p_value)]
    assert len(tested) > 1
    expected = stats.false_discovery_control([loss.p_value for loss in tested])
    assert [loss.q_value for loss in tested] == pytest.approx(expected.tolist())
    assert all(np.isnan(loss.q_value) for loss in losses if loss not in tested)


def test_the_loss_is_measured_against_all_swaps_on_own_backgrounds() -> None:
    scores = scores_of({0: [0.0], 1: [0.0]}, {0: [1], 1: [0]})
    # First pass: 0.9, 0.9, both right. Fresh: 0.6 right, 0.0 wrong. So 0.6 and 3 of 4.
    rows: list[Any] = [("0", 0, 0, 0, 0.6, 1.0), ("0", 0, 0, 1, 0.0, -3.0)]
    found = pair_losses(scores, follow_up_of([*rows, ("0", 0, 1, 1, 0.2, -1.0)])).iloc[0]
    assert found["lost"] == pytest.approx(0.6 - 0.2)
    assert found["flipped"] == pytest.approx(0.75)
    assert found["base"] == pytest.approx((0.6 + 0.75) / 2)
    assert found["lost_margin"] == pytest.approx((1.0 + 1.0 + 1.0 - 3.0) / 4 + 1.0)


def test_a_second_look_is_for_pairs_whose_interval_holds_the_floor() -> None:
    losses = pd.DataFrame(
        [
            (label, donor, harm, 0.5)
            for label, donor, harms in (
                (0, 1, (0.0, 0.25)),  # 0 to 0.5 of 0.5
                (0, 2, (0.0, 0.01)),
                (0, 3, (0.0, 0.24)),  # holds it as well, but reaches less high
                (1, 0, (0.4, 0.45)),
                (2, 0, (0.0, 0.25)),
            )
            for harm in harms * 10
        ],
        columns=["label", "donor_label", "harm", "base"],
    )
    found = undecided_pairs(losses, 0.23, [0, 1])
    assert found.to_numpy().tolist() == [[0, 1]]


def test_pairs_come_from_losses_confusions_and_attraction() -> None:
    scores = scores_of(
        {0: [0.4, 0.0, 0.0, 0.0], 1: [0.0] * 4, 2: [0.0] * 4, 3: [0.0] * 4, 4: [0.0] * 4},
        {0: [1, 2, 3, 4], 1: [0, 2, 3, 4], 2: [0, 1, 3, 4], 3: [0, 1, 2, 4], 4: [0, 1, 2, 3]},
    )
    scores["prediction"] = [2, 1, 2, 3, 4]  # 0 is mistaken for 2
    # Objects of 1, 2 and 4 become 3 on its backgrounds.
    scores["swap_other_predictions"] = [[0] * 4, [1, 1, 3, 1], [2, 2, 3, 2], [3] * 4, [4, 4, 4, 3]]
    assert choose_pairs(scores, [0])["donor_label"].tolist() == [1, 2, 3]
    # A class of which the first pass says nothing ill is followed up all the same.
    assert len(choose_pairs(scores, [4])) == PAIRS


def test_votes_taken_and_neutral_backgrounds_by_hand() -> None:
    rows = scores_of({0: [0.6, 0.0, 0.1, 0.2]}, {0: [1, 2, 3, 4]})
    rows["swap_other_predictions"] = [[1, 0, 1, 0]]
    rows["swap_same_predictions"] = [[0, 1]]
    swaps, at_home = each_swap(rows), np.array([0, 1])
    donors, answers = swaps["donor_label"].to_numpy(), swaps["prediction"].to_numpy()
    assert votes_taken(donors, answers, at_home) == {1: 0.5, 2: 0.0, 3: 0.0, 4: 0.0}
    lows = {1: 0.5, 2: -0.1, 3: 0.1, 4: 0.0}
    attraction = {k: EffectSize(low + 0.1, low, low + 0.2) for k, low in lows.items()}
    # Donors 2 and 4 attract nothing.
    assert neutral_gaps(cells_of(swaps), attraction)[0] == pytest.approx((0.0 + 0.2) / 2)
    # All attract: 3 does so least.
    every = {**attraction, 2: attraction[1], 4: attraction[1]}
    assert neutral_gaps(cells_of(swaps), every)[0] == pytest.approx(0.1)


def test_a_class_without_a_follow_up_has_none() -> None:
    scores = scores_of({0: [0.0], 1: [0.0]}, {0: [1], 1: [0]})
    assert one_class_losses(scores, scores.iloc[:0]) == {}


def test_a_part_that_a_worker_wrote_in_another_folder_is_missed(tmp_path: Path) -> None:
    part = StampedTable(tmp_path / "part.parquet", FOLLOW_UP_COLUMNS, b"this run")
    with pytest.raises(
        AuditError, match=r"follow-up: .*part\.parquet was measured and is not here"
    ):
        part.made("follow-up")
    part.write(FOLLOW_UP_COLUMNS.empty_table())
    assert part.made("follow-up") == FOLLOW_UP_COLUMNS.empty_table()
    # Of another run it is none.
    with pytest.raises(AuditError, match="under the same path"):
        dataclasses.replace(part, stamp=b"another").made("follow-up")

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audit.findings import ClassRow, Code, ControlName, Kind, Reason, Says, Strength, Verdict
from audit.manifest import Manifest, VerdictSection
from audit.measuring.columns import SCORE_COLUMNS
from audit.verdicts.by_class import ByClass
from audit.verdicts.controls import negative_control
from audit.verdicts.decide import Criteria, Decision, decide
from audit.verdicts.effects import ClassEffects, class_effects
from audit.verdicts.find import find
from audit.verdicts.indicators import indicators
from audit.verdicts.rates import rate_excess, wilson
from audit.verdicts.reasons import advice, reasons
from audit.verdicts.rfs import noise_hits, relative_foreground_sensitivity
from audit.verdicts.statistics import (
    LEVEL,
    RESAMPLES,
    EffectSize,
    bootstrap_mean,
    false_discovery,
    greater_than_zero,
    robust_z,
    sign_flip,
)
from audit.verdicts.swap_rates import attractions, swap_effects
from audit.verdicts.tables import class_table, confusion_table

NAMES = {0: "ant", 1: "bee", 2: "cat"}


def row(index: int, label: int, **more: Any) -> dict[str, Any]:
    """A sample that every indicator finds clean."""
    other = (label + 1) % 3
    plain: dict[str, Any] = dict.fromkeys(SCORE_COLUMNS.names)
    plain |= {
        "sample_id": f"{label}/{index}",
        "label": label,
        "label_name": NAMES[label],
        "prediction": label,
        "confidence": 0.9,
        "probability": 0.9,
        "margin": 2.0,
        "status": "scored",
        "foreground_area": 0.25,
        "foreground_mass": 0.6,
        "mass_lift": 1.5,
        "swap_same_prediction": label,
        "swap_same_probability": 0.9,
        "swap_same_margin": 2.0,
        "swap_same_predictions": [label, label],
        "swap_same_probabilities": [0.9, 0.9],
        "swap_same_margins": [2.0, 2.0],
        "swap_other_prediction": label,
        "swap_other_probability": 0.9,
        "swap_other_margin": 2.0,
        "swap_other_own_margin": 2.0,
        "swap_other_predictions": [label, label],
        "swap_other_probabilities": [0.9, 0.9],
        "swap_other_donor_labels": [other, (label + 2) % 3],
        "background_only_prediction": other,
    }
    return plain | more


def table(changes: dict[int, dict[str, Any]] | None = None, n: int = 30) -> pd.DataFrame:
    """Three classes of `n` images; `changes` are laid over all rows of a class."""
    random = np.random.default_rng(0)
    rows = []
    for label in NAMES:
        for index in range(n):
            noise = float(random.normal(0, 0.02))
            made = row(index, label, swap_same_margin=2.0 + noise, swap_same_probability=0.9)
            rows.append(made | (changes or {}).get(label, {}))
    return pd.DataFrame(rows)


LEANS = {
    "swap_other_probability": 0.3,
    "swap_other_margin": -1.0,
    "swap_other_own_margin": 0.2,
    "swap_other_predictions": [2, 2],
    "swap_other_probabilities": [0.3, 0.3],
}


def followed(scores: pd.DataFrame, lost: float = 0.0, flips: float = 0.0) -> pd.DataFrame:
    """A follow-up in which every class was tried on every other one's backgrounds.

    Of every ten images the share `flips` is wrong there, and each loses `lost` of probability.
    """
    rows = []
    for place, (sample_id, label) in enumerate(
        zip(scores["sample_id"], scores["label"], strict=True)
    ):
        rows.append((sample_id, label, label, label, 0.9, 2.0))
        for donor in NAMES:
            if donor != label:
                answer = donor if place % 10 < 10 * flips else label
                rows.append((sample_id, label, donor, answer, 0.9 - lost, 2.0 - lost))
    names = ["sample_id", "label", "donor_label", "prediction", "probability", "margin"]
    return pd.DataFrame(rows, columns=names)


def effects_of(scores: pd.DataFrame, **more: Any) -> dict[str, ClassEffects]:
    return {e.label_name: e for e in class_effects(scores, NAMES, **more)}


def verdicts(
    scores: pd.DataFrame, follow_up: pd.DataFrame | None = None, **thresholds: Any
) -> dict[str, Decision]:
    again = followed(scores) if follow_up is None else follow_up
    effects = class_effects(scores, NAMES, follow_up=again)
    decided = decide(effects, Criteria(VerdictSection(**thresholds)))
    return {decision.effects.label_name: decision for decision in decided}


def why(
    decision: Decision, attracting: str | None = None, **criteria: Any
) -> dict[Code, dict[str, int | float | str | None]]:
    made = Criteria(VerdictSection(), **criteria)
    said = reasons(decision, attracting, made, list(NAMES.values()))
    return {reason.code: reason.values for reason in said}  # noqa: PD011


def test_effects_by_hand() -> None:
    scores = pd.DataFrame(
        [
            row(0, 0, margin=4.0, swap_same_margin=3.0, swap_other_margin=1.0,
                swap_other_own_margin=2.0, swap_same_probability=0.8, swap_other_probability=0.5),
            row(1, 0, margin=-2.0, swap_same_margin=None, swap_other_margin=None,
                swap_other_own_margin=None, swap_same_probability=None,
                swap_other_probability=None),
            row(0, 1, margin=1.0),
        ]
    )  # fmt: skip
    effects = swap_effects(scores)
    # The scale is the median of |4|, |-2|, |1|.
    assert effects["g"].tolist()[0] == pytest.approx(0.3, abs=1e-12)
    assert effects["h"].tolist()[0] == pytest.approx((3 - 1) / 2, abs=1e-12)
    assert effects["hx"].tolist()[0] == pytest.approx((3 - 2) / 2, abs=1e-12)
    assert effects.loc[1, ["g", "h", "hx"]].isna().all()


def test_a_class_that_leans_is_suspect_and_the_others_are_clear() -> None:
    found = verdicts(table({0: LEANS}))
    assert {name: d.verdict for name, d in found.items()} == {
        "ant": Verdict.SUSPECT,
        "bee": Verdict.CLEAR,
        "cat": Verdict.CLEAR,
    }
    assert found["ant"].effects.background_gap.value == pytest.approx(0.6)
    assert found["ant"].kind is Kind.OWN_SHORTCUT
    assert found["ant"].strength is Strength.STRONG
    assert found["bee"].strength is Strength.NONE


def test_without_an_own_signal_it_is_affected_by_another() -> None:
    affected = LEANS | {"swap_other_own_margin": 1.9}
    assert verdicts(table({0: affected}))["ant"].kind is Kind.VICTIM


def test_significant_but_small_is_not_suspect() -> None:
    small = {"swap_other_margin": 1.5, "swap_other_probability": 0.86}
    found = verdicts(table({0: small}))["ant"]
    assert found.effects.q_value < 0.001
    assert found.verdict is Verdict.CLEAR


def test_large_but_uncertain_is_watched() -> None:
    scores = table()
    own = scores["label"] == 0
    wild = np.where(np.arange(own.sum()) % 2, 0.6, 1.1)
    scores.loc[own, "swap_other_probability"] = wild
    scores.loc[own, "swap_other_margin"] = np.where(np.arange(own.sum()) % 2, -8.0, 11.9)
    assert verdicts(scores)["ant"].verdict is Verdict.WATCH


def test_what_was_not_followed_up_is_not_clear() -> None:
    scores = table()
    found = verdicts(scores, followed(scores).iloc[:0])["ant"]
    assert found.verdict is Verdict.WATCH
    assert Code.NOT_FOLLOWED_UP in why(found)
    assert verdicts(scores)["ant"].verdict is Verdict.CLEAR


def test_a_loss_between_excluded_and_shown_is_watched() -> None:
    scores = table()
    # A fifth of the decisions and 0.1 of the probability: a harm of 0.15 of the 0.95 at stake.
    found = verdicts(scores, followed(scores, lost=0.1, flips=0.2))["ant"]
    assert found.effects.follow_up.harm.value == pytest.approx(0.15)
    assert found.effects.follow_up.share.value == pytest.approx(0.15 / 0.95)
    assert found.effects.follow_up.share.high >= 0.23
    assert found.verdict is Verdict.WATCH
    said = why(found)[Code.LOSS_TO_ONE_OPEN]
    assert said["donor_class"] in ("bee", "cat")
    assert said["floor"] == 0.23
    assert Code.NEITHER_SHOWN_NOR_EXCLUDED not in why(found)


def test_clear_says_what_was_excluded_for_which_kind() -> None:
    said = why(verdicts(table(), followed(table(), lost=0.02))["bee"])
    assert said[Code.EFFECT_EXCLUDED]["floor"] == 0.1
    to_one = said[Code.LOSS_TO_ONE_EXCLUDED]
    assert to_one["share"] == pytest.approx(0.01 / 0.95)
    assert to_one["donor_classes"] == 2
    assert to_one["floor"] == 0.23


@pytest.mark.parametrize(
    ("hits", "n", "clear", "images", "recall"),
    [(12, 20, False, 97, 0.75), (10, 20, False, None, 0.75), (15, 20, True, None, 0.75)],
)
def test_a_class_with_too_little_to_lose_is_not_clear_and_says_what_it_would_take(
    hits: int, n: int, clear: bool, images: int | None, recall: float
) -> None:
    scores = table(n=n)
    own = scores.index[scores["label"] == 0]
    scores.loc[own[hits:], "prediction"] = 2
    found = verdicts(scores)["ant"]
    assert found.verdict is (Verdict.CLEAR if clear else Verdict.WATCH)
    assert (Code.TOO_LITTLE_TO_LOSE not in why(found)) == clear
    if not clear:
        said = why(found)[Code.TOO_LITTLE_TO_LOSE]
        assert said["recall"] == hits / n
        assert said["recall_low"] == pytest.approx(wilson(hits, n)[0])
        assert said["images_needed"] == images
        assert said["recall_needed"] == recall


def test_blank_maps_say_nothing_of_the_swaps() -> None:
    scores = table()
    scores.loc[scores.index[scores["label"] == 2][:10], "status"] = "blank_map"
    found = verdicts(scores)
    assert {d.verdict for d in found.values()} == {Verdict.CLEAR}
    assert found["cat"].coverage == 1.0


def test_a_class_that_loses_to_attracting_classes_alone_is_affected() -> None:
    """Of six donor classes four attract: the median loss is large, and no shortcut is its own."""
    names = dict(enumerate("abcdefg"))
    attracting, rows = (1, 2, 3, 4), []
    for label in names:
        for index in range(24):
            donors = [other for other in names if other != label]
            taken = {d: d in attracting and label in (0, 5) for d in donors}
            rows.append(
                row(index, 0)
                | {
                    "sample_id": f"{label}/{index}",
                    "label": label,
                    "label_name": names[label],
                    "prediction": label,
                    "background_only_prediction": (label + 1) % 7,
                    "swap_same_predictions": [label, label],
                    "swap_other_probability": 0.5 if label in (0, 5) else 0.9,
                    "swap_other_margin": 0.0 if label in (0, 5) else 2.0,
                    "swap_other_own_margin": 1.9,
                    "swap_other_predictions": [d if taken[d] else label for d in donors],
                    "swap_other_probabilities": [0.3 if taken[d] else 0.9 for d in donors],
                    "swap_other_donor_labels": donors,
                }
            )
    found = decide(class_effects(pd.DataFrame(rows), names), Criteria(VerdictSection()))[0]
    assert found.verdict is Verdict.SUSPECT
    assert found.effects.typical_gap >= 0.1 > abs(found.effects.neutral_gap)
    assert found.kind is Kind.VICTIM


def test_attraction_alone_is_watched() -> None:
    scores = table({1: {"swap_other_predictions": [1, 0]}, 2: {"swap_other_predictions": [0, 2]}})
    found = verdicts(scores)["ant"]
    assert found.effects.attraction.value == pytest.approx(1.0)
    assert found.verdict is Verdict.WATCH


def test_too_few_images_give_no_verdict_and_say_how_many_would() -> None:
    found = verdicts(table({0: LEANS}, n=12))
    assert {d.verdict for d in found.values()} == {Verdict.INCONCLUSIVE}
    assert why(found["ant"])[Code.TOO_FEW_IMAGES] == {
        "judged": 12,
        "needed": 20,
        "missing": 8,
    }


def test_an_incomplete_run_calls_nothing_clear() -> None:
    scores = table({0: LEANS})
    scores.loc[scores.index[scores["label"] == 2][:5], "status"] = "unreadable"
    found = verdicts(scores)
    assert {name: d.verdict for name, d in found.items()} == {
        "ant": Verdict.SUSPECT,
        "bee": Verdict.INCONCLUSIVE,
        "cat": Verdict.INCONCLUSIVE,
    }
    assert not any(d.complete for d in found.values())
    assert Code.RUN_INCOMPLETE in why(found["bee"])
    assert why(found["cat"])[Code.COVERAGE_TOO_LOW]["coverage"] == pytest.approx(25 / 30)


def test_a_class_without_a_single_foreground_costs_the_others_no_verdict() -> None:
    bare = {name: None for name in SCORE_COLUMNS.names if name.startswith(("swap", "background"))}
    scores = table({0: LEANS, 2: bare | {"status": "no_foreground"}})
    found = verdicts(scores)
    assert {name: d.verdict for name, d in found.items()} == {
        "ant": Verdict.SUSPECT,
        "bee": Verdict.CLEAR,
        "cat": Verdict.INCONCLUSIVE,
    }
    # It is said, and a gate that asks for a complete run is not passed.
    assert not any(d.complete for d in found.values())
    assert why(found["cat"])[Code.COVERAGE_TOO_LOW]["coverage"] == 0
    scores.loc[scores.index[scores["label"] == 2][:5], ["status", "prediction"]] = (
        "unreadable",
        None,
    )
    assert verdicts(scores)["bee"].verdict is Verdict.INCONCLUSIVE


def test_without_foregrounds_nothing_is_clear_and_the_run_is_complete() -> None:
    bare = {name: None for name in SCORE_COLUMNS.names if name.startswith(("swap", "background"))}
    scores = table({label: bare | {"status": "no_foreground"} for label in NAMES})
    criteria = Criteria(VerdictSection(), has_foregrounds=False)
    found = decide(class_effects(scores, NAMES), criteria)
    assert {d.verdict for d in found} == {Verdict.INCONCLUSIVE}
    assert all(d.complete for d in found)
    assert list(why(found[0], has_foregrounds=False)) == [Code.NO_FOREGROUNDS]


def test_undefined_rates_are_nan_and_never_predicted_has_no_precision() -> None:
    scores = table({2: {"prediction": 0}}, n=20)
    effects = {e.label_name: e for e in class_effects(scores, {**NAMES, 3: "empty"})}
    assert math.isnan(effects["cat"].answers.precision)
    assert effects["cat"].answers.recall == 0.0
    assert effects["cat"].answers.f1 == 0.0
    assert effects["ant"].answers.precision == 0.5
    empty = effects["empty"]
    assert empty.answers.images == 0
    undefined = (empty.answers.recall, empty.answers.f1, empty.background_gap.value)
    assert all(math.isnan(value) for value in (*undefined, empty.p_value, empty.q_value))


def test_every_verdict_has_a_reason_and_indicators_agree_with_it() -> None:
    for made in verdicts(table({0: LEANS})).values():
        assert why(made)
        swap = indicators(made.effects, VerdictSection())[0]
        suspect = made.verdict is Verdict.SUSPECT
        assert swap.says is (Says.BACKGROUND if suspect else Says.OBJECT)
        assert bool(advice(made, None)) == (made.verdict is not Verdict.CLEAR)


def test_confusions_count_answers() -> None:
    scores = table({1: {"prediction": 2}}, n=4)
    found = confusion_table(scores, list(NAMES.values()), "a run").to_pandas()
    assert found[["label", "prediction", "count"]].to_numpy().tolist() == [
        [0, 0, 4],
        [1, 2, 4],
        [2, 2, 4],
    ]
    assert set(found["run_id"]) == {"a run"}


def findings_of(scores: pd.DataFrame) -> dict[str, Any]:
    manifest = Manifest.model_validate(
        {
            "version": 1,
            "name": "by hand",
            "dataset": {"root": "images"},
            "model": {"loader": "nothing:at_all"},
        }
    )
    found = find(scores, manifest, NAMES, list(NAMES.values()), True)
    return {finding.label_name: finding for finding in found}


def test_the_record_holds_all_that_was_measured() -> None:
    made = {
        "swap_other_predictions": [2, 2],
        "foreground_noise_prediction": 1,
        "background_noise_prediction": 0,
        "mass_lift_eroded": 0.4,
        "mass_lift_dilated": -0.2,
    }
    scores = table({0: LEANS | made})
    scores.loc[1, "prediction"] = 2
    scores.loc[2, "foreground_noise_prediction"] = 0
    found = findings_of(scores)["ant"]
    later = ("victim", "cmv_background_share", "attractor", "outline_agreement")
    unset = {n for n in ClassRow.model_fields if getattr(found, n) is None}
    assert {name for name in unset if not name.startswith(later)} == set()
    assert found.contrast_class == "cat"
    assert [(c.label_name, c.count) for c in found.confusions] == [("cat", 1)]
    assert len(found.masses) == 30


def test_tables_of_runs_with_different_outcomes_can_be_joined() -> None:
    affected = LEANS | {"swap_other_own_margin": 1.9}
    tables = [
        class_table(findings_of(scores).values(), run_id, lambda reason: reason.code.value)
        for run_id, scores in (
            ("all clear", table()),
            ("one affected", table({0: affected})),
            ("too few", table(n=3)),
        )
    ]
    joined = pa.concat_tables(tables).to_pandas()
    assert joined["run_id"].value_counts().to_dict() == dict.fromkeys(joined["run_id"], 3)
    assert joined["attractor"].dropna().tolist() == ["cat"]
    assert (
        "loss_goes_to_class" in joined.set_index("run_id").loc["one affected"].iloc[0].reason_codes
    )
    confused = [confusion_table(s, list(NAMES.values()), "x") for s in (table(), table()[:0])]
    assert len(pa.concat_tables(confused)) == 3


def test_the_negative_control_flags_nothing_on_clean_swaps_and_flags_a_broken_one() -> None:
    clean = negative_control(table({0: LEANS}), VerdictSection())
    assert clean.name is ControlName.NEGATIVE
    assert clean.passed is True
    biased = {"swap_same_margins": [3.0, 1.0], "swap_same_probabilities": [0.9, 0.5]}
    broken = negative_control(table({0: biased, 1: biased}), VerdictSection())
    assert broken.passed is False
    assert broken.found == Reason(code=Code.CLASSES_FLAGGED, values={"flagged": 2, "of": 3})
    unmade = negative_control(table(n=5), VerdictSection())
    assert unmade.passed is None
    assert unmade.found.code is Code.NOT_MEASURED


def test_rates_by_hand() -> None:
    effect = rate_excess(8, 10, 2, 20)
    assert effect.value == pytest.approx(0.7)
    table_ = [[8, 2], [2, 18]]
    assert effect.p_value == pytest.approx(stats.fisher_exact(table_, "greater")[1])
    assert effect.low < 0.7 < effect.high
    assert math.isnan(rate_excess(0, 0, 1, 2).value)
    # Wilson's interval of 1 in 4, by its closed form.
    z = stats.norm.ppf(0.975)
    centre = (0.25 + z * z / 8) / (1 + z * z / 4)
    half = z / (1 + z * z / 4) * math.sqrt(0.25 * 0.75 / 4 + z * z / 64)
    assert wilson(1, 4) == pytest.approx((centre - half, centre + half), abs=1e-9)


def test_benjamini_hochberg_by_hand() -> None:
    q = false_discovery([0.01, 0.02, 0.03, 0.5, math.nan])
    assert q[:4].tolist() == pytest.approx([0.04, 0.04, 0.04, 0.5])
    assert math.isnan(q[4])


def test_undefined_statistics() -> None:
    assert math.isnan(greater_than_zero([1.0]))
    assert greater_than_zero([2.0, 2.0]) == 0.0
    assert greater_than_zero([0.0, 0.0]) == 1.0
    assert math.isnan(bootstrap_mean([]).value)
    one = bootstrap_mean([3.0])
    assert one.value == 3.0
    assert math.isnan(one.low)
    assert robust_z([1.0, 1.0, math.nan]).tolist()[:2] == [0.0, 0.0]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=60))
def test_a_bootstrap_interval_holds_the_mean(values: list[float]) -> None:
    effect = bootstrap_mean(values)
    assert effect.low <= effect.value <= effect.high


def test_the_bootstrap_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    hits = 0
    for trial in range(300):
        effect = bootstrap_mean(random.normal(0.2, 1, 40), seed=trial)
        hits += effect.low <= 0.2 <= effect.high
    assert 0.90 <= hits / 300 <= 0.98


@pytest.mark.parametrize("n", [2, 50, 4001])
def test_intervals_are_quantiles_of_the_seeded_resamples(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    drawn = np.random.default_rng(7).integers(0, n, (RESAMPLES, n))
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(values[drawn].mean(1), tails)
    effect = bootstrap_mean(values, seed=7)
    assert (effect.low, effect.high) == (low, high)


def test_attraction_counts_what_is_of_neither_class_as_its_base_rate() -> None:
    random = np.random.default_rng(5)
    swaps = pd.DataFrame(
        random.integers(0, 4, (300, 3)), columns=["label", "donor_label", "prediction"]
    )
    found = attractions(swaps)
    for label in range(4):
        given = swaps[swaps["donor_label"] == label]
        neither = swaps[(swaps["donor_label"] != label) & (swaps["label"] != label)]
        hits, base = (int((part["prediction"] == label).sum()) for part in (given, neither))
        assert found[label] == rate_excess(hits, len(given), base, len(neither))


def noisy(on_object: list[int], on_background: list[int]) -> EffectSize:
    """RFS of class 0 by the answers under noise on the object and on the background."""
    rows = pd.DataFrame(
        {
            "label": 0,
            "foreground_noise_prediction": on_object,
            "background_noise_prediction": on_background,
        }
    )
    return relative_foreground_sensitivity(*noise_hits(ByClass(rows), 0))


def test_relative_foreground_sensitivity_by_hand() -> None:
    # a_f = 1/4, a_b = 3/4, mean 1/2: (3/4 - 1/4) / (2 * 1/2).
    effect = noisy([0, 1, 1, 1], [0, 0, 0, 1])
    assert effect.value == pytest.approx(0.5)
    assert effect.low <= 0.5 <= effect.high
    # a_f = 1, a_b = 1/2, mean 3/4: (1/2 - 1) / (2 * 1/4).
    assert noisy([0, 0], [0, 1]).value == pytest.approx(-1.0)


def test_relative_foreground_sensitivity_is_undefined_where_nothing_can_change() -> None:
    assert math.isnan(noisy([0, 0], [0, 0]).value)
    assert math.isnan(noisy([1, 1], [1, 1]).value)
    assert math.isnan(noisy([], []).value)
    assert math.isnan(noisy([0], [1]).low)


def test_a_loss_on_every_background_is_an_own_shortcut_and_on_one_it_is_not() -> None:
    everywhere = table({0: LEANS | {"swap_other_own_margin": 2.0}})
    # Two other classes are too few to tell by the median; the own margin says affected then.
    assert verdicts(everywhere)["ant"].kind is Kind.VICTIM
    effects = effects_of(table({0: LEANS}))
    assert effects["ant"].typical_gap == pytest.approx(0.6)
    assert effects["bee"].typical_gap == pytest.approx(0.0)
    many = [replace(e, donor_classes=3) for e in class_effects(everywhere, NAMES)]
    assert decide(many, Criteria(VerdictSection()))[0].kind is Kind.OWN_SHORTCUT


def test_a_doubt_says_how_many_images_would_settle_it() -> None:
    random = np.random.default_rng(1)
    scores = table()
    own = scores["label"] == 0
    scores.loc[own, "swap_other_probability"] = 0.9 - random.normal(0.09, 0.2, own.sum())
    found = verdicts(scores)["ant"]
    assert found.verdict is Verdict.WATCH
    said, gap = why(found), found.effects.background_gap
    assert said[Code.NEITHER_SHOWN_NOR_EXCLUDED] == {"images": 30}
    half = (gap.high - gap.low) / 2
    needed = math.ceil(30 * (half / abs(gap.value - 0.10)) ** 2)
    assert said[Code.IMAGES_WOULD_SETTLE] == {"images": needed}


def test_the_agreement_of_indicators_is_counted() -> None:
    found = verdicts(table({0: LEANS}))["ant"]
    said = [i.says for i in indicators(found.effects, VerdictSection())]
    assert why(found)[Code.INDICATORS_AGREE] == {
        "background": said.count(Says.BACKGROUND),
        "asked": len(said),
        "unclear": said.count(Says.UNCLEAR),
    }


def test_sign_flip_by_hand() -> None:
    # Of the eight orders of signs one sum is as large as 6, two are as large as 4.
    assert sign_flip([1.0, 2.0, 3.0]) == pytest.approx(1 / 8)
    assert sign_flip([-1.0, 2.0, 3.0]) == pytest.approx(2 / 8)
    assert sign_flip([0.0, 0.0, 0.0]) == 1.0
    assert math.isnan(sign_flip([1.0]))


def test_sign_flip_agrees_with_scipy_and_never_says_zero() -> None:
    random = np.random.default_rng(5)
    values = random.normal(0.3, 1, 30)
    theirs = stats.permutation_test(
        (values,),
        lambda held, axis: held.mean(axis),
        permutation_type="samples",
        n_resamples=20_000,
        alternative="greater",
        vectorized=True,
        rng=np.random.default_rng(6),
    ).pvalue
    assert sign_flip(values) == pytest.approx(theirs, abs=0.012)
    assert sign_flip(np.full(30, 1.0)) == pytest.approx(1 / 20_001)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=10))
def test_a_sign_flip_test_and_its_mirror_cover_every_order(values: list[float]) -> None:
    p, mirrored = sign_flip(values), sign_flip([-v for v in values])
    assert 0 < p <= 1
    assert p + mirrored >= 1 - 1e-12


def test_the_test_of_the_manifest_decides() -> None:
    scores = table({0: LEANS}, n=5)
    assert effects_of(scores, test="t")["ant"].p_value < 0.001
    assert effects_of(scores, test="sign_flip")["ant"].p_value == pytest.approx(1 / 32)


def test_a_moderate_loss_counts_only_where_decisions_change() -> None:
    weaker = {"swap_other_probability": 0.78, "swap_other_margin": 1.0}
    unmoved = verdicts(table({0: weaker}))["ant"]
    assert unmoved.effects.background_gap.value == pytest.approx(0.12)
    assert unmoved.verdict is Verdict.WATCH
    assert why(unmoved)[Code.FEW_DECISIONS_CHANGE] == {"decisions": 0.0, "needed": 0.1}
    moved = verdicts(table({0: weaker | {"swap_other_predictions": [0, 1]}}))["ant"]
    assert moved.effects.decision_gap == pytest.approx(0.5)
    assert moved.verdict is Verdict.SUSPECT
    assert moved.strength is Strength.MODERATE
    strong = verdicts(table({0: weaker | {"swap_other_probability": 0.7}}))["ant"]
    assert strong.verdict is Verdict.SUSPECT

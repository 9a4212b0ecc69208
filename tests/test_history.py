"""Two runs beside each other: truths that hold whatever the numbers, and planted changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted_history import CLASSES, facts, run
from scipy import stats

from audit.findings import (
    Change,
    Code,
    Comparability,
    Comparison,
    Hashes,
    Reason,
    Verdict,
)
from audit.history.compare import Measured, compare
from audit.history.differences import difference, donor_noise

S, W, U, C = Verdict.SUSPECT, Verdict.WATCH, Verdict.INCONCLUSIVE, Verdict.CLEAR


def words(found: Comparison) -> dict[str, Change]:
    return {one.label_name: one.change for one in found.classes}


KINDS = ("same", "other")
QUIET = dict.fromkeys(CLASSES, 0.01)


def test_the_same_run_twice_is_paired_and_unchanged() -> None:
    night = run({**QUIET, "bee": 0.6})
    found = compare(night, night)
    assert found.comparability is Comparability.PAIRED
    assert found.reasons == ()
    assert not found.model_changed
    assert not found.images_changed
    assert set(words(found).values()) == {Change.UNCHANGED}
    assert found.is_unchanged
    assert all(one.difference.value == 0 == one.by_images for one in found.classes)
    assert all(one.common == one.images == 40 for one in found.classes)


def test_a_cue_planted_is_new_and_removed_is_fixed_and_the_rest_unchanged() -> None:
    clean, leaning = run(QUIET), run({**QUIET, "bee": 0.6}, of=facts(hashes=Hashes(model="b" * 64)))
    planted = compare(clean, leaning)
    assert words(planted) == {**dict.fromkeys(CLASSES, Change.UNCHANGED), "bee": Change.NEW}
    assert planted.model_changed
    assert [reason.code for reason in planted.reasons] == [Code.MODEL_DIFFERS]
    (bee, *_) = planted.classes
    assert bee.label_name == "bee"
    assert bee.difference.value == pytest.approx(0.59)
    assert bee.by_model == bee.difference
    assert bee.by_images == pytest.approx(0, abs=1e-12)
    removed = compare(leaning, clean)
    assert words(removed) == {**dict.fromkeys(CLASSES, Change.UNCHANGED), "bee": Change.FIXED}


def test_fixed_needs_the_effect_excluded() -> None:
    leaning, better = run({**QUIET, "bee": 0.6}), run({**QUIET, "bee": 0.08}, {"bee": W})
    assert words(compare(leaning, better))["bee"] is Change.IMPROVED
    worse = run({**QUIET, "bee": 0.85})
    assert words(compare(leaning, worse))["bee"] is Change.WORSENED


def test_crossing_the_line_within_noise_is_no_news() -> None:
    below, above = (
        run({**QUIET, "bee": 0.095}, {"bee": W}),
        run({**QUIET, "bee": 0.105}, {"bee": S}),
    )
    assert words(compare(below, above))["bee"] is Change.UNCHANGED
    few = [
        run({"bee": gap}, {"bee": W}, images=3, of=facts(seed=s)) for s, gap in ((0, 0), (1, 0.1))
    ]
    (bee,) = compare(*few).classes
    assert bee.change is Change.UNSURE
    # It says what could have been seen.
    assert bee.detectable is not None
    assert bee.detectable > 0.1


@pytest.mark.parametrize("seed", range(1, 6))
def test_other_draws_of_the_same_images_are_unpaired_and_no_alarm(seed: int) -> None:
    first, second = (run({**QUIET, "bee": 0.3}, of=facts(seed=s), seed=s) for s in (0, seed))
    found = compare(first, second)
    assert found.comparability is Comparability.UNPAIRED
    told = Reason(
        code=Code.SETTING_DIFFERS,
        values={"setting": "seed", "earlier": "0", "later": str(seed)},
    )
    assert found.reasons == (told,)
    assert not found.with_change(Change.NEW, Change.WORSENED, Change.FIXED, Change.IMPROVED)


def test_other_images_are_told_from_another_model() -> None:
    before = run(QUIET)
    after = run({**QUIET, "dog": 0.4}, first=20, of=facts(hashes=Hashes(model="b" * 64)))
    found = compare(before, after)
    assert found.comparability is Comparability.PAIRED
    assert found.images_changed
    (dog, *_) = found.classes
    assert (dog.change, dog.common, dog.images) == (Change.NEW, 20, 40)
    assert dog.difference.value == pytest.approx(dog.by_model.value + dog.by_images)
    assert dog.by_model.value == pytest.approx(0.39, abs=1e-9)


def test_classes_that_one_run_lacks_and_runs_that_measure_otherwise() -> None:
    two, three = run({"ant": 0.0, "bee": 0.3}), run({"ant": 0.0, "cat": 0.3})
    assert words(compare(two, three)) == {
        "cat": Change.FIRST_SEEN,
        "bee": Change.NOT_MEASURED,
        "ant": Change.UNCHANGED,
    }
    unjudged = run({"ant": 0.0, "cat": 0.3}, {"ant": U})
    assert words(compare(three, unjudged))["ant"] is Change.NOT_MEASURED
    assert words(compare(unjudged, three))["ant"] is Change.FIRST_SEEN
    blurred = run({"ant": 0.5, "bee": 0.0}, of=facts(settings={"fill": "blur"}))
    found = compare(two, blurred)
    assert found.comparability is Comparability.NOT_COMPARABLE
    assert set(words(found).values()) == {Change.NOT_MEASURED}
    assert [reason.code for reason in found.reasons] == 2 * [Code.SETTING_DIFFERS]
    blind = run({"ant": 0.0, "bee": 0.0}, of=facts(foreground_source="none"))
    assert [r.code for r in compare(two, blind).reasons] == [Code.RUNS_WITHOUT_FOREGROUNDS]


def robbed(verdict: Verdict, harm: float) -> Measured:
    """A class whose loss to one other the gap does not show."""
    held = run(QUIET, {"bee": verdict})
    told = {"victim_harm": harm, "victim_harm_low": harm - 0.05, "victim_harm_high": harm + 0.05}
    classes = tuple(
        f.model_copy(update=told) if f.label_name == "bee" else f for f in held.findings.findings
    )
    return replace(held, findings=held.findings.model_copy(update={"findings": classes}))


def test_what_one_other_class_takes_is_compared_by_the_follow_up() -> None:
    calm, taken = robbed(C, 0.06), robbed(S, 0.4)
    assert words(compare(calm, taken))["bee"] is Change.NEW
    assert words(compare(taken, calm))["bee"] is Change.FIXED
    assert words(compare(taken, robbed(W, 0.06)))["bee"] is Change.IMPROVED
    # Within both intervals nobody can say.
    assert words(compare(robbed(W, 0.33), taken))["bee"] is Change.UNSURE
    assert words(compare(taken, taken))["bee"] is Change.UNCHANGED


def test_a_mask_drawn_anew_is_named_and_makes_another_image() -> None:
    before, after = run(QUIET), run(QUIET)
    redrawn = after.scores.assign(
        foreground_area=after.scores["foreground_area"].where(after.scores.index % 2 == 0, 0.3)
    )
    found = compare(before, replace(after, scores=redrawn))
    (told,) = found.reasons
    assert told == Reason(code=Code.MASKS_DIFFER, values={"images": 80})
    assert {one.common for one in found.classes} == {20}
    assert set(words(found).values()) == {Change.UNCHANGED}


def test_other_names_and_another_order_are_the_same_images() -> None:
    before, after = run(QUIET), run(QUIET)
    renamed = after.scores.assign(sample_id=[f"new/{n}" for n in range(len(after.scores), 0, -1)])
    found = compare(before, replace(after, scores=renamed.iloc[::-1].reset_index(drop=True)))
    assert not found.images_changed
    assert {one.common for one in found.classes} == {40}
    assert set(words(found).values()) == {Change.UNCHANGED}


def test_a_copy_is_an_image_by_itself() -> None:
    night = run(QUIET)
    copies = night.scores.iloc[:3].assign(sample_id=["x", "y", "z"])
    twice = replace(night, scores=pd.concat([night.scores, copies], ignore_index=True))
    (ant,) = (one for one in compare(twice, twice).classes if one.label_name == "ant")
    assert (ant.common, ant.images, ant.difference.value) == (43, 43, 0)
    assert compare(night, twice).images_changed


def test_the_noise_of_draws_counts_for_those_that_are_new() -> None:
    def with_donors(night: Measured, kept: int) -> Measured:
        drawn = [f"{i}" for i in range(kept)] + [f"new {i}" for i in range(4 - kept)]
        held = {f"swap_{kind}_donor_hashes": [drawn] * len(night.scores) for kind in KINDS}
        return replace(night, scores=night.scores.assign(**held))

    before, errors = with_donors(run(QUIET), 4), {}
    for kept in (4, 3, 2, 0):
        found = compare(before, with_donors(run(QUIET), kept))
        (ant,) = (one for one in found.classes if one.label_name == "ant")
        assert ant.difference.low is not None
        errors[kept] = -ant.difference.low
        assert ant.noise is not None
        assert ant.noise > 0
    assert errors[4] == 0 < errors[3]
    assert errors[3] ** 2 * 4 == pytest.approx(errors[0] ** 2)
    assert errors[2] ** 2 * 2 == pytest.approx(errors[0] ** 2)


floats = st.lists(st.floats(-1, 1, width=16), min_size=2, max_size=12)


@given(floats, floats)
def test_with_all_images_common_it_is_the_paired_test_and_with_none_that_of_welch(
    first: list[float], second: list[float]
) -> None:
    count = min(len(first), len(second))
    a, b = pd.Series(first), pd.Series(second)
    one, two = a[:count].to_numpy(), b[:count].to_numpy()
    paired = difference(a[:count], b[:count])
    assert paired.value == pytest.approx(two.mean() - one.mean(), abs=1e-9)
    if np.ptp(two - one) > 1e-3:
        assert paired.p_value() == pytest.approx(stats.ttest_rel(two, one).pvalue, rel=1e-6)
    apart = difference(a, b.set_axis(b.index + 100))
    if np.ptp(first) > 1e-3 and np.ptp(second) > 1e-3:
        welch = stats.ttest_ind(second, first, equal_var=False)
        assert apart.p_value() == pytest.approx(welch.pvalue, rel=1e-6)
        assert apart.freedom == pytest.approx(welch.df)
    back = difference(b.set_axis(b.index + 100), a)
    assert (back.value, back.error) == pytest.approx((-apart.value, apart.error))


def test_backgrounds_that_images_share_are_noise_that_more_images_do_not_lessen() -> None:
    random = np.random.default_rng(3)
    gaps, estimates = [], []
    for _ in range(150):
        held: dict[str, list[Any]] = {}
        for kind in ("same", "other"):
            bank = random.normal(0, 0.1, 12)
            drawn = [random.choice(12, 4, replace=False) for _ in range(60)]
            held[f"swap_{kind}_probabilities"] = [0.5 + bank[d] for d in drawn]
            held[f"swap_{kind}_donor_hashes"] = [[f"{kind}{n}" for n in d] for d in drawn]
        own = pd.DataFrame(held)
        same, other = (own[f"swap_{kind}_probabilities"].map(np.mean) for kind in ("same", "other"))
        gaps.append(float((same - other).mean()))
        estimates.append(donor_noise(own))
    assert np.mean(estimates) == pytest.approx(np.std(gaps), rel=0.2)
    # As if each image had donors of its own it would be told a third of that.
    alone = donor_noise(own.drop(columns=[name for name in own if "hashes" in name]))
    assert alone < np.mean(estimates) / 2


def test_the_noise_of_draws_is_that_over_many_draws() -> None:
    random = np.random.default_rng(0)
    # All images meet the same four backgrounds, each with a part of its own in the loss.
    estimates, gaps = [], []
    for _ in range(400):
        lost = random.normal(0, 0.1, 4)[None] + random.normal(0, 0.01, (30, 4))
        own = pd.DataFrame(
            {
                "swap_same_probabilities": list(np.full((30, 4), 0.9)),
                "swap_other_probabilities": list(0.9 - lost),
            }
        )
        estimates.append(donor_noise(own))
        gaps.append(lost.mean())
    assert np.sqrt(np.mean(np.square(estimates))) == pytest.approx(np.std(gaps), rel=0.1)
    alone = own.assign(swap_same_probabilities=[[0.9]] * 30)
    assert np.isnan(donor_noise(alone))

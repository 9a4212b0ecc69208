"""Two runs laid beside each other: one word a class, and the numbers that it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from audit.findings import (
    Change,
    ClassChange,
    ClassFinding,
    Comparability,
    Comparison,
    Estimate,
    Findings,
    RunFacts,
    RunName,
    Thresholds,
    Verdict,
)
from audit.history.comparability import comparability
from audit.history.differences import UNMEASURED, Difference, difference, donor_noise
from audit.history.pairing import count_other_masks, losses, share_of_new_donors
from audit.verdicts.statistics import LEVEL, false_discovery

MARGIN = 0.5
"""A change of a gap counts from this share of the floor on: half of what makes a class suspect."""
_JUDGED = (Verdict.SUSPECT, Verdict.WATCH, Verdict.CLEAR)


@dataclass(frozen=True)
class Measured:
    """A run as comparisons need it.

    Parameters
    ----------
    folder : str
        The name of its folder.
    facts, findings
        Its record.
    scores : DataFrame
        All rows of ``scores.parquet``.
    """

    folder: str
    facts: RunFacts
    findings: Findings
    scores: pd.DataFrame

    @property
    def name(self) -> RunName:
        """By which the run is called."""
        facts = self.facts
        return RunName(
            folder=self.folder,
            run_id=facts.run_id,
            started=facts.started,
            model=facts.hashes.model,
        )


@dataclass(frozen=True)
class _Pair:
    """One class in both runs, before all classes are tested together."""

    name: str
    earlier: ClassFinding | None
    later: ClassFinding | None
    whole: Difference = UNMEASURED
    common: Difference = UNMEASURED
    images: int = 0
    in_common: int = 0
    noise: float = float("nan")
    q_value: float = float("nan")


def compare(earlier: Measured, later: Measured) -> Comparison:
    """Say of each class what changed between two runs.

    Parameters
    ----------
    earlier, later : Measured
        Of one audit, in this order.

    Returns
    -------
    Comparison
        The classes with the most urgent change first. Of runs that cannot be compared no class has
        numbers, and each is ``not_measured``.
    """
    before, now = losses(earlier.scores), losses(later.scores)
    word, reasons = comparability(
        earlier.facts,
        later.facts,
        common_images=len(before.index.intersection(now.index)),
        other_masks=count_other_masks(before, now),
    )
    barred = word is Comparability.NOT_COMPARABLE
    pairs = [
        _Pair(name, first, second)
        if barred
        else _measured(_Pair(name, first, second), before, now, paired=word is Comparability.PAIRED)
        for name, first, second in _matched(earlier.findings, later.findings)
    ]
    q_values = false_discovery([pair.whole.p_value() for pair in pairs])
    tested = [replace(pair, q_value=float(q)) for pair, q in zip(pairs, q_values, strict=True)]
    limits = later.findings.thresholds
    chosen = sum(pair.q_value <= limits.fdr for pair in tested)
    apart = 1 - limits.fdr * chosen / max(1, int(np.isfinite(q_values).sum()))
    changes = [_change(pair, limits, apart, barred=barred) for pair in tested]
    return Comparison(
        earlier=earlier.name,
        later=later.name,
        comparability=word,
        reasons=reasons,
        margin=MARGIN * limits.effect,
        model_changed=earlier.facts.hashes.model != later.facts.hashes.model,
        images_changed=set(before.index) != set(now.index),
        classes=tuple(sorted(changes, key=lambda one: list(Change).index(one.change))),
    )


def _matched(
    earlier: Findings, later: Findings
) -> list[tuple[str, ClassFinding | None, ClassFinding | None]]:
    """The classes of both by name, in the later run's order; those that it lacks come last."""
    before: Mapping[str, ClassFinding] = {f.label_name: f for f in earlier.findings}
    now = {f.label_name: f for f in later.findings}
    return [(name, before.get(name), now.get(name)) for name in {**now, **before}]


def _renamed(lost: pd.Series[float]) -> pd.Series[float]:
    """The same losses as those of images that no other run has."""
    return lost.set_axis(
        pd.MultiIndex.from_tuples([("", str(i), 0, 0.0) for i in range(len(lost))])
    )


def _measured(pair: _Pair, before: pd.DataFrame, now: pd.DataFrame, *, paired: bool) -> _Pair:
    """Add the differences of a class that both runs have."""
    if pair.earlier is None or pair.later is None:
        return pair
    own = [scores[scores["label_name"] == pair.name] for scores in (before, now)]
    noise = math.hypot(*(donor_noise(scores.reset_index(drop=True)) for scores in own))
    first, second = (scores["g"].dropna() for scores in own)
    common = first.index.intersection(second.index)
    # Draws that both runs have cancel; the variance of the others is theirs by number.
    same_lists = set(before.index) == set(now.index)
    drawn_anew = share_of_new_donors(*own, same_lists=same_lists) if paired else 1.0
    added = 0.0 if math.isnan(noise) else noise * math.sqrt(drawn_anew)
    whole = difference(first, second if paired else _renamed(second), added)
    return replace(
        pair,
        whole=whole,
        common=difference(first[common], second[common]) if paired else UNMEASURED,
        images=len(second),
        in_common=len(common),
        noise=noise,
    )


def _change(pair: _Pair, limits: Thresholds, apart: float, *, barred: bool) -> ClassChange:
    whole, common = pair.whole, pair.common
    by_images = whole.value - common.value
    return ClassChange(
        label_name=pair.name,
        change=Change.NOT_MEASURED if barred else _word(pair, limits),
        earlier=pair.earlier.verdict if pair.earlier else None,
        later=pair.later.verdict if pair.later else None,
        gap_earlier=_gap(pair.earlier),
        gap_later=_gap(pair.later),
        difference=_estimate(whole, LEVEL),
        selected=_estimate(whole, apart) if pair.q_value <= limits.fdr else Estimate(),
        by_model=_estimate(common, LEVEL),
        by_images=by_images,
        p_value=whole.p_value(),
        q_value=pair.q_value,
        images=pair.images,
        common=pair.in_common,
        detectable=whole.detectable(limits.fdr),
        noise=pair.noise,
    )


def _word(pair: _Pair, limits: Thresholds) -> Change:
    """What became of one class.

    ``new`` and ``fixed`` need the verdict *and* the difference: a class that crosses the line by
    less than noise, or by less than the margin, is no news.
    """
    before, now = pair.earlier, pair.later
    if now is None or now.verdict not in _JUDGED:
        return Change.NOT_MEASURED
    if before is None or before.verdict not in _JUDGED:
        return Change.FIRST_SEEN
    was, stays = before.verdict is Verdict.SUSPECT, now.verdict is Verdict.SUSPECT
    if was != stays and not _is_by_gap(before if was else now, limits):
        return _crossed_by_one_class(before, now)
    differs = pair.q_value <= limits.fdr
    if pair.whole.is_within(MARGIN * limits.effect, limits.fdr):
        return Change.UNCHANGED
    if differs and was and now.verdict is Verdict.CLEAR and pair.whole.value < 0:
        return Change.FIXED
    if differs and stays and not was and pair.whole.value > 0:
        return Change.NEW
    if differs:
        return Change.WORSENED if pair.whole.value > 0 else Change.IMPROVED
    return Change.UNSURE


def _is_by_gap(finding: ClassFinding, limits: Thresholds) -> bool:
    """Whether the gap shows what a class is suspect for; it hardly does what one class takes."""
    gap, q_value = finding.background_gap, finding.q_value
    return gap is not None and gap >= limits.effect and (q_value is None or q_value <= limits.fdr)


def _crossed_by_one_class(before: ClassFinding, now: ClassFinding) -> Change:
    """What became of a class that one other robs, or robbed, of its votes."""
    apart = _intervals_apart(before, now)
    if now.verdict is Verdict.SUSPECT:
        return Change.NEW if apart else Change.UNSURE
    if not apart:
        return Change.UNSURE
    return Change.FIXED if now.verdict is Verdict.CLEAR else Change.IMPROVED


def _intervals_apart(before: ClassFinding, now: ClassFinding) -> bool:
    """Whether the harm differs beyond both intervals; no hint of one in the first pass is none."""
    ends: Sequence[tuple[float, float]] = [
        (f.victim_harm_low or 0.0, f.victim_harm_high or 0.0) for f in (before, now)
    ]
    return ends[0][1] < ends[1][0] or ends[1][1] < ends[0][0]


def _gap(finding: ClassFinding | None) -> Estimate:
    return finding.estimate("background_gap") if finding else Estimate()


def _estimate(difference: Difference, level: float) -> Estimate:
    low, high = difference.interval(level)
    return Estimate(value=difference.value, low=low, high=high)

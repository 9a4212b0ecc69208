"""Suspicions held against other outlines: what a wrong mask could have made is not called suspect.

A mask that misses part of an object leaves that part in the background, and a class is accused of
knowing its own object. Drawn more generously, or by somebody else, the outline holds it. So a
suspicion that another outline does not bear is ``watch``: it depends on the outline.

Where outlines are loose, estimated, doubtful or unlike those of a second network, the same rule
must call the class suspect again. Where they are drawn by hand and nothing speaks against them, a
suspicion falls only where the other outline leaves less than half of the floor: a generous outline
takes some of the background
along, so the effect of a true shortcut gets smaller, and that of a wrong mask vanishes.

Half of a large object lies too far out to be reached so. Where the picture does not change along a
side of the masks, they may cut their objects, and only the outlines of a network can prove more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from audit.findings import ClassFinding, Code, Effect, Kind, Reason, Strength, Verdict
from audit.manifest import Manifest
from audit.measuring.second_outlines import laid_over
from audit.verdicts.decide import VICTIM_FLOOR
from audit.verdicts.find import find

LOOSE = ("estimated", "bounding_box")
"""Sources by which a suspicion must be shown again."""
WIDENED, SECOND = "widened", "second"
OUTLINES = (WIDENED, SECOND)
EXCLUDED = 0.5
"""Share of the floor that another outline must leave of an effect by trusted masks."""
AGREEMENT = 0.7
"""Least overlap of given with second outlines by which the given ones count as trusted."""
_OF_SUSPECTS = (
    Code.LOSS_EVERYWHERE,
    Code.LOSS_TO_ONE_CLASS,
    Code.TAKES_BACKGROUND_FOR_CLASS,
    Code.LOSS_GOES_TO_CLASS,
    Code.LOSS_GOES_TO_MANY,
    Code.INDICATORS_AGREE,
    Code.MAPS_LOOK_NORMAL,
    Code.MAPS_AGREE,
)


@dataclass(frozen=True)
class OtherOutlines:
    """What was measured with other outlines.

    Parameters
    ----------
    swaps, follow_up : DataFrame
        All rows of ``second_outlines.parquet`` and of ``second_follow_up.parquet``.
    must_be_shown_again : bool
        Whether the given outlines are loose, estimated or doubtful.
    agreement : mapping of str to float
        By class: the mean overlap of its outlines with second ones, where that was measured.
    cuts : mapping of str to Reason
        By class whose masks may cut its objects: what speaks for it.
    """

    swaps: pd.DataFrame
    follow_up: pd.DataFrame
    must_be_shown_again: bool
    agreement: Mapping[str, float] = field(default_factory=dict)
    cuts: Mapping[str, Reason] = field(default_factory=dict)

    def is_strict(self, name: str) -> bool:
        """Whether a suspicion of a class must be shown again, by the same rule."""
        unlike = self.agreement.get(name, 1.0) < AGREEMENT
        return self.must_be_shown_again or unlike or name in self.cuts


def hold_against_outlines(
    classes: Sequence[ClassFinding],
    scores: pd.DataFrame,
    others: OtherOutlines,
    manifest: Manifest,
    class_names: Sequence[str],
) -> tuple[ClassFinding, ...]:
    """Keep the suspicions that other outlines bear; the others become ``watch``.

    Parameters
    ----------
    classes : sequence of ClassFinding
        From :func:`audit.verdicts.find.find`.
    scores : DataFrame
        All rows of ``scores.parquet``.
    others : OtherOutlines
        What was measured again.
    manifest : Manifest
        For its thresholds: the same rule.
    class_names : sequence of K str
        All outputs of the model.
    """
    found = {
        outline: _found_with(outline, classes, scores, others, manifest, class_names)
        for outline in OUTLINES
    }
    return tuple(
        _held(
            finding, {o: again.get(finding.label) for o, again in found.items()}, others, manifest
        )
        if finding.verdict is Verdict.SUSPECT
        else finding
        for finding in classes
    )


def _found_with(
    outline: str,
    classes: Sequence[ClassFinding],
    scores: pd.DataFrame,
    others: OtherOutlines,
    manifest: Manifest,
    class_names: Sequence[str],
) -> dict[int, ClassFinding]:
    """The classes that were measured with an outline, decided by the same rule."""
    again = others.swaps[others.swaps["outline"] == outline]
    measured = set(again["label"])
    labels = {f.label: f.label_name for f in classes if f.label in measured}
    if not labels:
        return {}
    pairs = others.follow_up[others.follow_up["outline"] == outline].drop(columns="outline")
    replaced = laid_over(scores, again)
    found = find(replaced, manifest, labels, class_names, True, pairs if len(pairs) else None)
    return {finding.label: finding for finding in found}


def _held(
    finding: ClassFinding,
    again: dict[str, ClassFinding | None],
    others: OtherOutlines,
    manifest: Manifest,
) -> ClassFinding:
    least = manifest.verdict.minimum_images
    judged = {o: f for o, f in again.items() if f is not None and f.judged >= least}
    effect = _effect_of(finding)
    if finding.label_name in others.cuts and SECOND not in judged:
        return put_on_watch(finding, others.cuts[finding.label_name])
    if not judged:
        untested = Reason(code=Code.OUTLINE_UNTESTED)
        return finding.with_evidence(reasons=(*finding.reasons, untested))
    floor, strictly = _floor_of(effect, manifest), others.is_strict(finding.label_name)
    if all(_bears(f, effect, floor, strictly) for f in judged.values()):
        agree = Reason(code=Code.OUTLINES_AGREE, values=_values(finding, judged, effect))
        return finding.with_evidence(reasons=(*finding.reasons, agree))
    values = _values(finding, judged, effect) | {"floor": floor}
    depends = Reason(code=Code.DEPENDS_ON_OUTLINE, values=values)
    return put_on_watch(finding, depends)


def put_on_watch(finding: ClassFinding, reason: Reason) -> ClassFinding:
    """A suspicion that the outlines do not bear, with what speaks against it first."""
    kept = [reason_kept for reason_kept in finding.reasons if reason_kept.code not in _OF_SUSPECTS]
    return finding.with_evidence(
        verdict=Verdict.WATCH,
        kind=Kind.NONE,
        strength=Strength.NONE,
        attractor=None,
        reasons=(reason, *kept),
        advice=(Reason(code=Code.LOOK_AT_OUTLINES),),
    )


def _effect_of(finding: ClassFinding) -> Effect:
    """By which effect a class is suspect."""
    codes = {reason.code for reason in finding.reasons}
    return "victim_harm" if Code.LOSS_TO_ONE_CLASS in codes else "background_gap"


def _floor_of(effect: Effect, manifest: Manifest) -> float:
    floor = manifest.verdict.effect
    return max(VICTIM_FLOOR, floor) if effect == "victim_harm" else floor


def _bears(again: ClassFinding, effect: Effect, floor: float, strictly: bool) -> bool:
    if strictly:
        return again.verdict is Verdict.SUSPECT
    high = again.estimate(effect).high
    # What was not measured excludes nothing.
    return high is None or high >= EXCLUDED * floor


def _values(
    finding: ClassFinding, again: dict[str, ClassFinding], effect: Effect
) -> dict[str, int | float | str | None]:
    """The effect by outline, with its intervals."""
    values: dict[str, int | float | str | None] = {}
    for name, one in (("given", finding), *((o, again.get(o)) for o in OUTLINES)):
        estimate = one.estimate(effect) if one is not None else None
        values |= {
            name: estimate.value if estimate else None,
            f"{name}_low": estimate.low if estimate else None,
            f"{name}_high": estimate.high if estimate else None,
        }
    return values

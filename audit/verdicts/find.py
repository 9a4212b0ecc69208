"""From rows to one finding a class: measured, decided, with its reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.findings import ClassFinding, ClassRow, Confusion, Kind, Verdict
from audit.manifest import Manifest
from audit.measuring.swap_table import each_swap
from audit.verdicts.by_class import ByClass, Floats
from audit.verdicts.cmv_share import background_shares
from audit.verdicts.decide import Criteria, Decision, decide, leaves_loss_open, loses_to_one
from audit.verdicts.effects import ONCE, class_effects
from audit.verdicts.indicators import cmv_indicator, indicators
from audit.verdicts.more_images import MoreImages, laid_in
from audit.verdicts.reasons import advice, reasons
from audit.verdicts.statistics import UNDEFINED, EffectSize
from audit.verdicts.swap_rates import votes_taken

MASSES = 200
"""Most images of a class whose foreground mass is kept for the histogram."""
CONFUSIONS = 5


def find(
    scores: pd.DataFrame,
    manifest: Manifest,
    labels: Mapping[int, str],
    class_names: Sequence[str],
    has_foregrounds: bool,
    follow_up: pd.DataFrame | None = None,
    more: MoreImages = ONCE,
) -> tuple[ClassFinding, ...]:
    """Decide every class.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    manifest : Manifest
        For its thresholds.
    labels : mapping of int to str
        The dataset's classes by output index.
    class_names : sequence of K str
        All outputs of the model.
    has_foregrounds : bool
        Whether the audit was given foregrounds.
    follow_up : DataFrame, optional
        All rows of ``follow_up.parquet``; None before the follow-up.
    more : MoreImages, optional
        Which classes may be looked at twice, and what was measured of those that were.

    Returns
    -------
    tuple of ClassFinding
        In the order of the labels, without exhibits, cues and CMVs: those are drawn later.
    """
    verdict = manifest.verdict
    effects = class_effects(scores, labels, manifest.run.seed, follow_up, verdict.test, more)
    criteria = Criteria(verdict, manifest.run.min_coverage, has_foregrounds)
    if more.swaps is not None:
        scores = laid_in(scores, more.swaps)
    rows, swaps = ByClass(scores), ByClass(each_swap(scores))
    return tuple(
        _finding(decision, _RowsOfClass(rows, swaps, decision.effects.label), class_names, criteria)
        for decision in decide(effects, criteria)
    )


def undecided(
    scores: pd.DataFrame,
    manifest: Manifest,
    labels: Mapping[int, str],
    follow_up: pd.DataFrame | None,
    more: MoreImages,
) -> set[int]:
    """The classes whose loss is neither shown nor excluded; all as for :func:`find`."""
    verdict = manifest.verdict
    effects = class_effects(scores, labels, manifest.run.seed, follow_up, verdict.test, more)
    return {one.label for one in effects if leaves_loss_open(one, verdict)}


@dataclass(frozen=True)
class _RowsOfClass:
    """The rows of one class, column by column."""

    rows: ByClass
    swaps: ByClass
    label: int

    def numbers(self, column: str) -> Floats:
        return self.rows.numbers(column, self.label)

    def answers(self, column: str) -> NDArray[np.int64]:
        """What the swaps of one kind were answered with, one after the other."""
        held = self.rows.lists(column, self.label)
        return np.concatenate(held).astype(np.int64) if held else np.empty(0, np.int64)

    def votes(self) -> dict[int, float]:
        """From :func:`audit.verdicts.swap_rates.votes_taken`."""
        donors, answers = (
            self.swaps.numbers(name, self.label).astype(np.int64)
            for name in ("donor_label", "prediction")
        )
        return votes_taken(donors, answers, self.answers("swap_same_predictions"))


def _finding(
    decision: Decision, rows: _RowsOfClass, class_names: Sequence[str], criteria: Criteria
) -> ClassFinding:
    effects, suspect = decision.effects, decision.verdict is Verdict.SUSPECT
    attracting = _attracting_class(decision, rows, class_names, criteria)
    asked = decision.verdict is not Verdict.INCONCLUSIVE
    masses = rows.numbers("foreground_mass")
    masses = masses[~np.isnan(masses)]
    kept = pd.Series(masses).sample(MASSES, random_state=0) if len(masses) > MASSES else masses
    wrong = _wrong(rows)
    return ClassFinding.model_validate(
        _numbers(decision)
        | {
            "verdict": decision.verdict,
            "kind": decision.kind,
            "strength": decision.strength,
            "attractor": attracting,
            "contrast_class": _contrast_class(rows, wrong, class_names, suspect),
            "reasons": reasons(decision, attracting, criteria, class_names),
            "advice": advice(decision, attracting),
            "indicators": indicators(effects, criteria.thresholds) if asked else (),
            "confusions": _confusions(wrong, effects.answers.answered, class_names),
            "masses": tuple(kept.tolist()),
        }
    )


def _numbers(decision: Decision) -> dict[str, object]:
    """All that was measured, by the names of the record."""
    effects, loss = decision.effects, decision.effects.follow_up
    found: dict[str, object] = {"coverage": decision.coverage}
    found |= {field.name: getattr(effects.answers, field.name) for field in fields(effects.answers)}
    for name in (field.name for field in fields(effects)):
        value = getattr(effects, name)
        found |= _spread(name, value) if isinstance(value, EffectSize) else {name: value}
    found |= _spread("victim_harm", loss.harm)
    found |= {"victim_gap": loss.probability_loss, "victim_flips": loss.decisions_changed}
    found |= {"victim_p": loss.p_value, "victim_q": loss.q_value}
    found |= _spread("victim_share", loss.share) | {"victim_classes": loss.donor_classes}
    return {name: value for name, value in found.items() if name in ClassRow.model_fields}


def _spread(name: str, size: EffectSize) -> dict[str, float]:
    return {name: size.value, f"{name}_low": size.low, f"{name}_high": size.high}


def _attracting_class(
    decision: Decision, rows: _RowsOfClass, class_names: Sequence[str], criteria: Criteria
) -> str | None:
    """The class that takes the votes of an affected one."""
    if decision.kind is not Kind.VICTIM:
        return None
    donor = decision.effects.follow_up.donor_label
    if donor is not None and loses_to_one(decision.effects, criteria.thresholds):
        return class_names[donor]
    votes = rows.votes()
    most = max(votes, key=lambda label: (votes[label], -label), default=None)
    return None if most is None or votes[most] <= 0 else class_names[most]


def _contrast_class(
    rows: _RowsOfClass, wrong: Sequence[tuple[int, int]], class_names: Sequence[str], suspect: bool
) -> str | None:
    """The class that these images are most often mistaken for.

    Of a suspect class the swaps tell it, since one ordinary confusion says little about the
    background; of another class they do only where it is never confused.
    """
    if wrong and not suspect:
        return class_names[wrong[0][0]]
    answers = rows.answers("swap_other_predictions")
    swapped = _most_frequent(answers[answers != rows.label])
    label = swapped[0][0] if swapped else wrong[0][0] if wrong else None
    return None if label is None else class_names[label]


def _wrong(rows: _RowsOfClass) -> list[tuple[int, int]]:
    """Wrong answers with their counts, the most frequent first, then the lower index."""
    answers = rows.numbers("prediction")
    return _most_frequent(answers[~np.isnan(answers) & (answers != rows.label)].astype(np.int64))


def _most_frequent(answers: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Answers with their counts, the most frequent first, then the lower index."""
    found, counts = np.unique(answers, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return list(zip(found[order].tolist(), counts[order].tolist(), strict=True))


def _confusions(
    wrong: Sequence[tuple[int, int]], answered: int, class_names: Sequence[str]
) -> tuple[Confusion, ...]:
    return tuple(
        Confusion(label_name=class_names[label], count=count, share=count / max(answered, 1))
        for label, count in wrong[:CONFUSIONS]
    )


def with_cmv_shares(
    classes: Iterable[ClassFinding], alignment: pd.DataFrame, seed: int
) -> tuple[ClassFinding, ...]:
    """Say of each class how much of its class model visualization is background.

    Parameters
    ----------
    classes : iterable of ClassFinding
        From :func:`find`.
    alignment : DataFrame
        From :func:`audit.cues.cmv_alignment.cmv_alignment`.
    seed : int
        Of the bootstrap.
    """
    shares = background_shares(alignment, seed)
    return tuple(_with_share(finding, shares.get(finding.label, UNDEFINED)) for finding in classes)


def _with_share(finding: ClassFinding, share: EffectSize) -> ClassFinding:
    indicator = cmv_indicator(share) if finding.verdict is not Verdict.INCONCLUSIVE else None
    asked = finding.indicators if indicator is None else (*finding.indicators, indicator)
    return finding.with_evidence(indicators=asked, **_spread("cmv_background_share", share))

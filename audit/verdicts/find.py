"""From rows to one finding a class: measured, decided, with its reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields

import pandas as pd

from audit.findings import ClassFinding, ClassRow, Confusion, Kind, Verdict
from audit.manifest import Manifest
from audit.verdicts.cmv_share import background_shares
from audit.verdicts.decide import Criteria, Decision, decide, loses_to_one
from audit.verdicts.effects import class_effects
from audit.verdicts.indicators import cmv_indicator, indicators
from audit.verdicts.reasons import advice, reasons
from audit.verdicts.statistics import UNDEFINED, EffectSize
from audit.verdicts.swap_rates import rows_by_label, votes_taken

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

    Returns
    -------
    tuple of ClassFinding
        In the order of the labels, without exhibits, cues and CMVs: those are drawn later.
    """
    effects = class_effects(scores, labels, manifest.run.seed, follow_up, manifest.verdict.test)
    criteria = Criteria(manifest.verdict, manifest.run.min_coverage, has_foregrounds)
    rows = rows_by_label(scores)
    return tuple(
        _finding(decision, rows(decision.effects.label), class_names, criteria)
        for decision in decide(effects, criteria)
    )


def _finding(
    decision: Decision, rows: pd.DataFrame, class_names: Sequence[str], criteria: Criteria
) -> ClassFinding:
    effects, suspect = decision.effects, decision.verdict is Verdict.SUSPECT
    attracting = _attracting_class(decision, rows, class_names, criteria)
    asked = decision.verdict is not Verdict.INCONCLUSIVE
    masses = rows["foreground_mass"].dropna()
    kept = masses.sample(MASSES, random_state=0) if len(masses) > MASSES else masses
    return ClassFinding.model_validate(
        _numbers(decision)
        | {
            "verdict": decision.verdict,
            "kind": decision.kind,
            "strength": decision.strength,
            "attractor": attracting,
            "contrast_class": _contrast_class(rows, class_names, suspect),
            "reasons": reasons(decision, attracting, criteria, class_names),
            "advice": advice(decision, attracting),
            "indicators": indicators(effects, criteria.thresholds) if asked else (),
            "confusions": _confusions(rows, class_names),
            "masses": tuple(float(mass) for mass in kept),
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
    decision: Decision, rows: pd.DataFrame, class_names: Sequence[str], criteria: Criteria
) -> str | None:
    """The class that takes the votes of an affected one."""
    if decision.kind is not Kind.VICTIM:
        return None
    donor = decision.effects.follow_up.donor_label
    if donor is not None and loses_to_one(decision.effects, criteria.thresholds):
        return class_names[donor]
    votes = votes_taken(rows)
    most = max(votes, key=lambda label: (votes[label], -label), default=None)
    return None if most is None or votes[most] <= 0 else class_names[most]


def _contrast_class(rows: pd.DataFrame, class_names: Sequence[str], suspect: bool) -> str | None:
    """The class that these images are most often mistaken for.

    Of a suspect class the swaps tell it, since one ordinary confusion says little about the
    background; of another class they do only where it is never confused.
    """
    swapped = _most_frequent(rows, "swap_other_predictions", class_names)
    if suspect and swapped is not None:
        return swapped
    wrong = _wrong(rows)
    return class_names[wrong[0][0]] if wrong else swapped


def _wrong(rows: pd.DataFrame) -> list[tuple[int, int]]:
    """Wrong answers with their counts, the most frequent first, then the lower index."""
    answered = rows[rows["prediction"].notna()]
    wrong = answered.loc[answered["prediction"] != answered["label"], "prediction"]
    counts = Counter(int(prediction) for prediction in wrong)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _confusions(rows: pd.DataFrame, class_names: Sequence[str]) -> tuple[Confusion, ...]:
    answered = max(int(rows["prediction"].notna().sum()), 1)
    return tuple(
        Confusion(label_name=class_names[label], count=count, share=count / answered)
        for label, count in _wrong(rows)[:CONFUSIONS]
    )


def _most_frequent(rows: pd.DataFrame, column: str, class_names: Sequence[str]) -> str | None:
    counts: Counter[int] = Counter()
    for label, predictions in zip(rows["label"], rows[column], strict=True):
        if predictions is not None:
            counts.update(int(p) for p in predictions if p != label)
    if not counts:
        return None
    return class_names[min(counts, key=lambda label: (-counts[label], label))]


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

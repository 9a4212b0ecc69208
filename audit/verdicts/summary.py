"""From the findings of all classes to the record of an audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from audit.findings import (
    AuditFacts,
    ClassFinding,
    Code,
    ControlMeasurements,
    Findings,
    ForegroundFacts,
    Reason,
    RunFacts,
    Status,
    Summary,
    SwapMatrix,
    Thresholds,
    Verdict,
)
from audit.manifest import Manifest, VerdictSection
from audit.verdicts.controls import negative_control, positive_control, untrained_control
from audit.verdicts.decide import DECISIONS, VICTIM_FLOOR
from audit.verdicts.maps import judge_maps

LIMITS = (
    Code.LIMIT_INSIDE_FOREGROUND,
    Code.LIMIT_SHARED_BACKGROUND,
    Code.LIMIT_OFTEN_TOGETHER,
    Code.LIMIT_FOREGROUND_QUALITY,
    Code.LIMIT_OTHER_PHOTOGRAPHS,
    Code.LIMIT_MAPS_ILLUSTRATE,
)
"""What no audit of this kind can know."""


def summarize(
    classes: Sequence[ClassFinding],
    scores: pd.DataFrame,
    manifest: Manifest,
    facts: RunFacts,
    checks: ControlMeasurements,
    swap_matrix: SwapMatrix,
) -> Findings:
    """Compose the record of an audit.

    Parameters
    ----------
    classes : sequence of ClassFinding
        All of the run, with what was drawn for them.
    scores : DataFrame
        All rows of ``scores.parquet``.
    manifest : Manifest
        For thresholds and the owner's words.
    facts : RunFacts
        What ran.
    checks : ControlMeasurements
        What the run measured of itself.
    swap_matrix : SwapMatrix
        Whose background makes it whom.
    """
    source, thresholds = facts.foreground_source, manifest.verdict
    return Findings(
        run_id=facts.run_id,
        audit=AuditFacts(
            name=manifest.name,
            title=manifest.report.title,
            owner=manifest.report.owner,
            audience=manifest.report.audience,
            dataset=manifest.dataset.root,
            model=facts.model_name,
            foreground=source,
        ),
        summary=_summary(classes, scores, manifest),
        thresholds=_thresholds(thresholds, manifest.run.min_coverage),
        controls=(
            negative_control(scores, thresholds),
            positive_control(checks.tags, thresholds),
            untrained_control(checks.lifts),
        ),
        map_trust=judge_maps(checks.maps),
        limits=tuple(Reason(code=code) for code in LIMITS),
        foreground_quality=_foregrounds(scores, facts),
        swap_matrix=swap_matrix,
        findings=tuple(sorted(classes, key=_urgency)),
    )


def _urgency(finding: ClassFinding) -> tuple[int, float, int]:
    """By verdict, then the largest effect; what was not measured comes last."""
    gap = finding.background_gap
    return finding.verdict.urgency, 2.0 if gap is None else -gap, finding.label


def _summary(classes: Sequence[ClassFinding], scores: pd.DataFrame, manifest: Manifest) -> Summary:
    counts = Counter(finding.verdict for finding in classes)
    answered = scores[scores["prediction"].notna()]
    status = scores["status"]
    least = manifest.run.min_coverage
    coverage = [finding.coverage for finding in classes]
    complete = not any(share is not None and share < least for share in coverage)
    return Summary(
        classes=len(classes),
        suspect=counts[Verdict.SUSPECT],
        watch=counts[Verdict.WATCH],
        inconclusive=counts[Verdict.INCONCLUSIVE],
        clear=counts[Verdict.CLEAR],
        gate=manifest.gate,
        gate_after=manifest.gate_after,
        # Whoever asks the gate says so: audit.history.gate.
        gate_passed=manifest.gate == "never",
        complete=complete,
        images=len(scores),
        scored=int((status == Status.SCORED).sum()),
        judged=sum(finding.judged for finding in classes),
        coverage=int(status.isin((Status.SCORED, Status.FULL_FOREGROUND)).sum())
        / max(len(scores), 1),
        accuracy=float((answered["prediction"] == answered["label"]).mean())
        if len(answered)
        else None,
    )


def _thresholds(section: VerdictSection, min_coverage: float) -> Thresholds:
    return Thresholds(
        **section.model_dump(),
        decisions=DECISIONS,
        victim_floor=max(VICTIM_FLOOR, section.effect),
        min_coverage=min_coverage,
    )


def _foregrounds(scores: pd.DataFrame, facts: RunFacts) -> ForegroundFacts:
    readable = scores[scores["status"] != Status.UNREADABLE]
    found = readable["foreground_area"].notna()
    return ForegroundFacts(
        source=facts.foreground_source,
        coverage=float(found.mean()) if len(readable) else 0.0,
        estimator=facts.estimator,
    )

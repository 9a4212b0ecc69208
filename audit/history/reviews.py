"""``reviews.jsonl`` beside the runs: what people decided, one line each, never rewritten."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path

from audit.findings import ClassFinding, Findings, Review, ReviewedClass, Standing, finding_id
from audit.history import journal
from audit.history.compare import MARGIN


def append_review(path: Path, review: Review) -> None:
    """Add a line; see :func:`audit.history.journal.append`."""
    journal.append(path, review)


def read_reviews(path: Path) -> tuple[Review, ...]:
    """All reviews, the oldest first; what cannot be read counts for nothing, with a warning."""
    return journal.read(path, Review)


def standing_reviews(
    reviews: Iterable[Review], findings: Findings, model: str, today: date
) -> tuple[ReviewedClass, ...]:
    """The latest review of each class of a run, and whether it still holds.

    Parameters
    ----------
    reviews : iterable of Review
        The oldest first.
    findings : Findings
        Of the run.
    model : str
        Sha256 of its weights.
    today : date
        On which it is asked.
    """
    latest = {review.finding_id: review for review in reviews}
    standing = (
        (f, latest.get(finding_id(findings.audit.name, f.label_name))) for f in findings.findings
    )
    least = MARGIN * findings.thresholds.effect
    return tuple(
        ReviewedClass(review=review, standing=_standing(review, finding, model, today, least))
        for finding, review in standing
        if review is not None
    )


def _standing(
    review: Review, finding: ClassFinding, model: str, today: date, least: float
) -> Standing:
    if review.until is not None and today > review.until:
        return Standing.PAST_ITS_DATE
    if review.model != model:
        return Standing.ANOTHER_MODEL
    before, now = review.gap, finding.background_gap
    # What cannot be compared is taken for worse: a review never covers what it did not see.
    if before is None or now is None:
        return Standing.IN_FORCE if before == now else Standing.GOT_WORSE
    more_urgent = finding.verdict.urgency < review.verdict.urgency
    return Standing.GOT_WORSE if more_urgent or now - before > least else Standing.IN_FORCE

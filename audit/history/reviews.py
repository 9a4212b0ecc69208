"""``reviews.jsonl`` beside the runs: what people decided, one line each, never rewritten."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path

from pydantic import ValidationError

from audit.errors import RunFolderError
from audit.findings import ClassFinding, Findings, Review, ReviewedClass, Standing, finding_id
from audit.history.compare import MARGIN

MAX_BYTES = 64 * 2**20
_log = logging.getLogger(__name__)


def append_review(path: Path, review: Review) -> None:
    """Add a line; two writers at once both keep theirs.

    Raises
    ------
    RunFolderError
        The file cannot be written.
    """
    line = review.model_dump_json(exclude_none=True) + "\n"
    try:
        with path.open("ab+") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            # A line that a crash tore off must not swallow this one.
            if opened.seek(0, 2):
                opened.seek(-1, 2)
                line = line if opened.read(1) == b"\n" else f"\n{line}"
            opened.write(line.encode())
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be written ({error})") from error


def read_reviews(path: Path) -> tuple[Review, ...]:
    """All reviews, the oldest first; what cannot be read counts for nothing, with a warning."""
    try:
        if not path.is_file():
            return ()
        if path.stat().st_size > MAX_BYTES:
            _log.warning("%s: more than %d bytes; it counts for nothing", path.name, MAX_BYTES)
            return ()
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        _log.warning("%s: cannot be read (%s); it counts for nothing", path.name, error.strerror)
        return ()
    return tuple(_parsed(path.name, lines))


def _parsed(name: str, lines: Sequence[bytes]) -> Iterator[Review]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield Review.model_validate_json(line)
        except ValidationError:
            _log.warning("%s: line %d is no review and counts for nothing", name, number)


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
    held = (
        (f, latest.get(finding_id(findings.audit.name, f.label_name))) for f in findings.findings
    )
    least = MARGIN * findings.thresholds.effect
    return tuple(
        ReviewedClass(review=review, standing=_standing(review, finding, model, today, least))
        for finding, review in held
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

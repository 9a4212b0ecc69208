"""A person's decision about one finding of a run, or about all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from audit.errors import RunFolderError
from audit.findings import (
    Baseline,
    Review,
    RunStatus,
    finding_id,
    read_facts,
    read_findings,
)
from audit.findings.values import Record
from audit.history import journal
from audit.history.reviews import append_review
from audit.pipeline.run_json import now
from audit.run_folder import RunFolder

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class WrittenBaseline:
    """An accepted run and the file that it was added to."""

    baseline: Baseline
    path: Path


def accept_run(run_dir: str | Path, *, by: str, reason: str) -> WrittenBaseline:
    """Accept a finished run as what later runs of its audit are laid beside.

    It moves the baseline: the gates ``new`` and ``worsened``, and the changes that reports tell,
    ask this run until another is accepted.

    Parameters
    ----------
    run_dir : str or Path
        A finished run.
    by, reason : str
        Who decided, and why.

    Raises
    ------
    RunFolderError
        No such run, one that did not finish, or something said that cannot be.
    """
    run = RunFolder(Path(run_dir).resolve())
    facts, findings = read_facts(run.run_json), read_findings(run.findings)
    if facts.status not in (RunStatus.COMPLETE, RunStatus.INCOMPLETE):
        raise RunFolderError(
            f"{run_dir}: the run is {facts.status}; only a finished one is accepted"
        )
    made = _made(
        Baseline,
        {
            "audit": findings.audit.name,
            "run_id": facts.run_id,
            "folder": run.path.name,
            "by": by,
            "reason": reason,
            "made": now(),
            "model": facts.hashes.model,
        },
    )
    journal.append(run.baselines, made)
    return WrittenBaseline(made, run.baselines)


def _made(kind: type[R], fields: Mapping[str, object]) -> R:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        item = error.errors(include_url=False)[0]
        key = str(item["loc"][0])
        raise RunFolderError(f"--{key}: {item['msg']}, found {item['input']!r}") from error


@dataclass(frozen=True)
class WrittenReview:
    """A review and the file that it was added to."""

    review: Review
    path: Path


def review(
    run_dir: str | Path,
    label_name: str,
    decision: str,
    *,
    by: str,
    reason: str,
    until: str | None = None,
) -> WrittenReview:
    """Add a review of one class to ``reviews.jsonl`` beside a run.

    It is bound to the weights and the gap of that run: it lapses by its date, with another model,
    and when the class gets worse.

    Parameters
    ----------
    run_dir : str or Path
        A finished run.
    label_name : str
        The class.
    decision : str
        ``accept``, ``dispute`` or ``waive``; a waived class passes the gate.
    by, reason : str
        Who decided, and why.
    until : str, optional
        The last day on which it holds, as ``2027-01-31``.

    Raises
    ------
    RunFolderError
        No such run or class, or something said that cannot be.
    """
    run = RunFolder(Path(run_dir).resolve())
    facts, findings = read_facts(run.run_json), read_findings(run.findings)
    named = [finding for finding in findings.findings if finding.label_name == label_name]
    if not named:
        known = ", ".join(sorted(finding.label_name for finding in findings.findings)[:20])
        raise RunFolderError(f"--class: {label_name!r} is no class of this run; it has {known}")
    made = _made(
        Review,
        {
            "finding_id": finding_id(findings.audit.name, label_name),
            "audit": findings.audit.name,
            "label_name": label_name,
            "decision": decision,
            "by": by,
            "reason": reason,
            "made": now(),
            "until": until,
            "run_id": facts.run_id,
            "model": facts.hashes.model,
            "verdict": named[0].verdict,
            "gap": named[0].background_gap,
        },
    )
    append_review(run.reviews, made)
    return WrittenReview(made, run.reviews)

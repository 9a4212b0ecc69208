"""What a person decided about a finding, and whether it still holds."""

from __future__ import annotations

import hashlib
from datetime import date
from enum import StrEnum

from pydantic import Field, ValidationInfo, field_validator

from audit.findings.values import Number, Record, Verdict


class Decision(StrEnum):
    """What was decided: the finding is right; it is wrong; it is right and put up with."""

    ACCEPT = "accept"
    DISPUTE = "dispute"
    WAIVE = "waive"


class Standing(StrEnum):
    """Whether a review still holds, or why it lapsed."""

    IN_FORCE = "in_force"
    PAST_ITS_DATE = "past_its_date"
    ANOTHER_MODEL = "another_model"
    GOT_WORSE = "got_worse"


def _said(value: str, info: ValidationInfo) -> str:
    if not any(character.isalnum() for character in value):
        raise ValueError(f"{info.field_name} says nothing")
    return value


class Review(Record):
    """A line of ``reviews.jsonl``, bound to the finding, the model and the gap of that time."""

    finding_id: str
    audit: str
    label_name: str
    decision: Decision
    by: str = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=2000)
    made: str
    until: date | None = None
    run_id: str
    model: str
    verdict: Verdict
    gap: Number = None

    @field_validator("by", "reason")
    @classmethod
    def _says_something(cls, value: str, info: ValidationInfo) -> str:
        return _said(value, info)


class Baseline(Record):
    """A line of ``baselines.jsonl``: the run that later ones of the audit are laid beside."""

    audit: str
    run_id: str
    folder: str
    by: str = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=2000)
    made: str
    model: str

    @field_validator("by", "reason")
    @classmethod
    def _says_something(cls, value: str, info: ValidationInfo) -> str:
        return _said(value, info)


class ReviewedClass(Record):
    """The latest review of a class, and whether it holds for this run."""

    review: Review
    standing: Standing

    @property
    def is_waived(self) -> bool:
        """Whether a gate lets the class pass."""
        return self.review.decision is Decision.WAIVE and self.standing is Standing.IN_FORCE


def finding_id(audit: str, label_name: str) -> str:
    """What a class of an audit is called wherever it is followed from run to run.

    Examples
    --------
    >>> finding_id("wolves", "husky") == finding_id("wolves", "husky") != finding_id("w", "husky")
    True
    """
    return hashlib.sha256(f"{audit}\0{label_name}".encode(errors="surrogatepass")).hexdigest()[:16]

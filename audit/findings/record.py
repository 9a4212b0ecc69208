"""The record of an audit: one finding a class, and what belongs to all of them."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from audit.findings.class_finding import ClassFinding
from audit.findings.comparison import Comparison, Trend
from audit.findings.controls import MapTrust
from audit.findings.matrix import SwapMatrix
from audit.findings.review import ReviewedClass
from audit.findings.values import (
    ControlName,
    Reason,
    Record,
    Share,
    Verdict,
)

SCHEMA_VERSION: Final = 2
"""Of ``findings.json`` and ``run.json``; a file of another version is refused."""


class Control(Record):
    """A check of the audit by itself; `passed` is None where it could not be made."""

    name: ControlName
    found: Reason
    passed: bool | None


class AuditFacts(Record):
    """What was audited, in the owner's words."""

    name: str
    title: str | None = None
    owner: str | None = None
    audience: str | None = None
    dataset: str
    model: str
    foreground: str


class Summary(Record):
    """The findings in counts."""

    classes: int = Field(ge=0)
    suspect: int = Field(ge=0)
    watch: int = Field(ge=0)
    inconclusive: int = Field(ge=0)
    clear: int = Field(ge=0)
    gate: str
    gate_passed: bool
    gate_failures: tuple[Reason, ...] = ()
    gate_after: int = 1
    """Audits in a row that must call a class suspect before somebody is called."""
    complete: bool
    images: int = Field(ge=0)
    scored: int = Field(ge=0)
    judged: int = Field(ge=0)
    coverage: Share
    accuracy: Share

    def count(self, verdict: Verdict) -> int:
        """How many classes have a verdict."""
        counted: int = getattr(self, verdict.value)
        return counted


class Thresholds(Record):
    """What was demanded before a class was called suspect.

    `decisions` is the share of decisions that must change where the effect is moderate;
    `victim_floor` the harm by one other class's background, 0..1.
    """

    minimum_images: int
    effect: float
    strong_effect: float
    fdr: float
    test: str
    decisions: float
    victim_floor: float
    min_coverage: float


class EstimatorFacts(Record):
    """The network that drew the outlines; an empty text is "not told"."""

    name: str
    sha256: str
    licence: str = ""
    trained_on: str = ""


class ForegroundFacts(Record):
    """Where the audit knew the objects from, for which share of the images, and how they look."""

    source: str
    coverage: Share
    estimator: EstimatorFacts | None = None
    masks: tuple[Reason, ...] = ()
    doubtful: bool = False

    @property
    def given(self) -> bool:
        """Whether there were any."""
        return self.source != "none"


class Findings(Record):
    """``findings.json``: all that the report, the command line and comparisons say of a run."""

    schema_version: Literal[2] = SCHEMA_VERSION
    run_id: str
    audit: AuditFacts
    summary: Summary
    thresholds: Thresholds
    controls: tuple[Control, ...]
    map_trust: MapTrust | None = None
    limits: tuple[Reason, ...]
    foreground_quality: ForegroundFacts
    swap_matrix: SwapMatrix = SwapMatrix()
    comparison: Comparison | None = None
    """Beside the run before; None where there is none."""
    reviews: tuple[ReviewedClass, ...] = ()
    trends: tuple[Trend, ...] = ()
    waiting: tuple[str, ...] = ()
    """Suspect classes for which nobody is called before another audit confirms them."""
    findings: tuple[ClassFinding, ...]

    def with_classes(self, classes: tuple[ClassFinding, ...]) -> Findings:
        """A copy with other findings, checked like any other."""
        return Findings.model_validate(dict(self) | {"findings": classes})

    def with_verdict(self, verdict: Verdict) -> tuple[ClassFinding, ...]:
        """The classes of one verdict, in the order of the record: the largest effect first."""
        return tuple(f for f in self.findings if f.verdict == verdict)

    @property
    def waived(self) -> frozenset[str]:
        """The classes that somebody waived, by a review that holds."""
        return frozenset(one.review.label_name for one in self.reviews if one.is_waived)

    @property
    def failed_controls(self) -> tuple[Control, ...]:
        """The checks of itself that this run did not pass."""
        return tuple(c for c in self.controls if c.passed is False)

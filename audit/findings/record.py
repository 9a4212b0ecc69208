"""The record of an audit: one finding a class, and what belongs to all of them."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from audit.findings.comparison import Comparison, Trend
from audit.findings.controls import MapTrust
from audit.findings.evidence import CmvEntry, Cues, Exhibit, MeanMap
from audit.findings.review import ReviewedClass
from audit.findings.values import (
    ControlName,
    Estimate,
    IndicatorName,
    Kind,
    Number,
    Reason,
    Record,
    Says,
    Share,
    Strength,
    Unit,
    Verdict,
)

SCHEMA_VERSION: Final = 2
"""Of ``findings.json`` and ``run.json``; a file of another version is refused."""

Effect = Literal[
    "recall",
    "foreground_area",
    "foreground_mass",
    "mass_lift",
    "background_gap",
    "margin_gap",
    "own_margin_gap",
    "attraction",
    "background_only",
    "rfs",
    "victim_harm",
    "victim_share",
    "cmv_background_share",
]
"""The measurements that come with an interval: columns ``x``, ``x_low`` and ``x_high``."""


class ClassRow(Record):
    """One class in numbers: a row of ``classes.parquet``, its fields the columns in their order.

    Each :data:`Effect` has two neighbours that end in ``_low`` and ``_high``: its 95 % interval.
    """

    label: int
    label_name: str
    images: int = Field(ge=0)
    scored: int = Field(ge=0)
    judged: int = Field(ge=0)
    coverage: Share
    precision: Share
    recall: Share
    recall_low: Share = None
    recall_high: Share = None
    f1: Share
    mean_confidence: Share
    foreground_area: Share = None
    foreground_area_low: Share = None
    foreground_area_high: Share = None
    foreground_mass: Share = None
    foreground_mass_low: Share = None
    foreground_mass_high: Share = None
    mass_lift: Number = None
    mass_lift_low: Number = None
    mass_lift_high: Number = None
    background_gap: Number = None
    background_gap_low: Number = None
    background_gap_high: Number = None
    margin_gap: Number = None
    margin_gap_low: Number = None
    margin_gap_high: Number = None
    own_margin_gap: Number = None
    own_margin_gap_low: Number = None
    own_margin_gap_high: Number = None
    attraction: Number = None
    attraction_low: Number = None
    attraction_high: Number = None
    background_only: Number = None
    background_only_low: Number = None
    background_only_high: Number = None
    rfs: Number = None
    rfs_low: Number = None
    rfs_high: Number = None
    p_value: Share = None
    q_value: Share = None
    decision_gap: Number = None
    typical_gap: Number = None
    neutral_gap: Number = None
    mass_lift_eroded: Number = None
    mass_lift_dilated: Number = None
    victim_harm: Number = None
    victim_harm_low: Number = None
    victim_harm_high: Number = None
    victim_gap: Number = None
    victim_flips: Number = None
    victim_p: Share = None
    victim_q: Share = None
    victim_share: Number = None
    victim_share_low: Number = None
    victim_share_high: Number = None
    victim_classes: int = Field(default=0, ge=0)
    outline_agreement: Share = None
    cmv_background_share: Share = None
    cmv_background_share_low: Share = None
    cmv_background_share_high: Share = None
    verdict: Verdict
    kind: Kind = Kind.NONE
    strength: Strength = Strength.NONE
    attractor: str | None = None
    contrast_class: str | None = None

    def estimate(self, effect: Effect) -> Estimate:
        """One of the measurements with its interval."""
        value, low, high = (getattr(self, f"{effect}{end}") for end in ("", "_low", "_high"))
        return Estimate(value=value, low=low, high=high)


class Indicator(Record):
    """One measurement that speaks for or against, asked by itself; only the swaps decide."""

    name: IndicatorName
    says: Says
    estimate: Estimate
    p_value: Share = None
    unit: Unit


class Confusion(Record):
    """How often images of a class were answered with another; `share` is of those answered."""

    label_name: str
    count: int = Field(ge=0)
    share: Share


class ClassFinding(ClassRow):
    """One class, its verdict, the reasons for it and the evidence.

    `masses` are the foreground masses of at most 200 of its images, for the histogram.
    """

    reasons: tuple[Reason, ...] = ()
    advice: tuple[Reason, ...] = ()
    indicators: tuple[Indicator, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    masses: tuple[float, ...] = ()
    exhibits: tuple[Exhibit, ...] = ()
    mean_map: MeanMap | None = None
    cues: Cues | None = None
    cmv: tuple[CmvEntry, ...] = ()

    def with_evidence(self, **changes: object) -> ClassFinding:
        """A copy with some fields replaced, checked like any other."""
        return ClassFinding.model_validate(dict(self) | changes)


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


class MatrixCell(Record):
    """What the backgrounds of one class did to the objects of another."""

    label: int
    donor_label: int
    swaps: int = Field(ge=0)
    became_donor: int = Field(ge=0)
    lost: int = Field(ge=0)
    mean_lost_probability: Number = None


class MatrixClass(Record):
    """The objects of one class on the backgrounds of all others."""

    label: int
    label_name: str
    swaps: int = Field(ge=0)
    lost: int = Field(ge=0)


class SwapMatrix(Record):
    """Whose background makes it whom, for the classes where most happens."""

    classes: tuple[MatrixClass, ...] = ()
    cells: tuple[MatrixCell, ...] = ()
    left_out: int = Field(default=0, ge=0)
    swaps: int = Field(default=0, ge=0)
    became_donor: int = Field(default=0, ge=0)
    became_donor_shown: int = Field(default=0, ge=0)


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

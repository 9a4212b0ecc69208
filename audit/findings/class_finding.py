"""One class of an audit: its numbers, its verdict, the reasons for it and the evidence."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from audit.findings.evidence import CmvEntry, Cues, Exhibit, MeanMap
from audit.findings.values import (
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

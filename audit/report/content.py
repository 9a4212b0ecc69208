"""All that a report says, frozen: what the templates may see, and nothing else.

Names are clean, paths are gone, ``None`` is "not measured".
"""

from __future__ import annotations

from dataclasses import dataclass

from audit.report.cue_content import BackgroundMatrix, Cues
from audit.report.pictures import Picture

SUSPECT, WATCH, INCONCLUSIVE, CLEAR = "suspect", "watch", "inconclusive", "clear"
VERDICTS = (SUSPECT, WATCH, INCONCLUSIVE, CLEAR)
"""In the order in which a reader should meet them."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; each may be unknown."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Witness:
    """One way of asking whether a class leans on its background, and the answer."""

    name: str
    says: str
    estimate: Estimate
    p_value: float | None
    unit: str
    explanation: str


@dataclass(frozen=True)
class Confusion:
    """How often images of a class were answered with another."""

    name: str
    count: int
    share: float | None


@dataclass(frozen=True)
class Swap:
    """The experiment on one exhibit: the same object before another class's background."""

    picture: Picture | None
    donor: str
    prediction: str
    probability: float | None
    before: float | None


@dataclass(frozen=True)
class Exhibit:
    """One sample that is shown, with the rule that chose it."""

    role: str
    rule: str
    sample_id: str
    prediction: str
    right: bool
    confidence: float | None
    area: float | None
    mass: float | None
    image: Picture | None
    overlay: Picture | None
    outline: Picture | None
    swap: Swap | None


@dataclass(frozen=True)
class CmvPanel:
    """One class model visualization; `strip` shows how it came about."""

    recipe: str
    objective: str
    variant: int
    rival: str
    picture: Picture
    strip: Picture | None
    strip_steps: tuple[int, ...]
    probability: float | None
    robust_probability: float | None
    transfer_rank: int | None
    failed: bool
    note: str


@dataclass(frozen=True)
class ClassFinding:
    """One class, its verdict and its evidence."""

    label: int
    name: str
    anchor: str
    verdict: str
    kind: str
    attractor: str
    contrast: str
    strength: str
    reasons: tuple[str, ...]
    advice: tuple[str, ...]
    images: int
    scored: int
    precision: float | None
    recall: float | None
    f1: float | None
    mean_confidence: float | None
    area: Estimate
    mass: Estimate
    lift: Estimate
    gap: Estimate
    margin_gap: Estimate
    own_margin_gap: Estimate
    attraction: Estimate
    background_only: Estimate
    p_value: float | None
    q_value: float | None
    witnesses: tuple[Witness, ...]
    confusions: tuple[Confusion, ...]
    masses: tuple[float, ...]
    exhibits: tuple[Exhibit, ...]
    exhibits_left_out: int
    mean_map: Picture | None
    cues: Cues | None
    mean_map_images: int | None
    cmv: tuple[CmvPanel, ...]
    thumbnail: CmvPanel | None
    second_thumbnail: CmvPanel | None


@dataclass(frozen=True)
class Control:
    """A check of the audit by itself; `passed` is None where it could not be made."""

    name: str
    description: str
    expected: str
    found: str
    passed: bool | None


@dataclass(frozen=True)
class Problem:
    """One row of ``problems.csv``."""

    sample_id: str
    name: str
    reason: str
    detail: str
    kind: str


@dataclass(frozen=True)
class Problems:
    """The first rows, and the counts of all."""

    rows: tuple[Problem, ...]
    by_reason: tuple[tuple[str, str, int], ...]
    total: int


@dataclass(frozen=True)
class Thresholds:
    """What the manifest demands before a class is called suspect."""

    minimum_images: int
    effect: float
    strong_effect: float
    fdr: float
    test: str
    decisions: float
    victim_floor: float


@dataclass(frozen=True)
class Summary:
    """The run in counts."""

    classes: int
    by_verdict: tuple[tuple[str, int], ...]
    gate: str
    gate_passed: bool | None
    complete: bool
    found: int
    scored: int
    noted: int
    rejected: int
    coverage: float | None
    accuracy: float | None

    def count(self, verdict: str) -> int:
        """How many classes have a verdict."""
        return dict(self.by_verdict).get(verdict, 0)


@dataclass(frozen=True)
class Provenance:
    """What ran, when, on what; pairs are shown in their order."""

    run_id: str
    status: str
    started: str
    finished: str
    fingerprint: str
    device: str
    seed: str
    precision: str
    versions: tuple[tuple[str, str], ...]
    hashes: tuple[tuple[str, str], ...]
    timings: tuple[tuple[str, float | None], ...]
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Foregrounds:
    """Where the audit knew the objects from."""

    source: str
    coverage: float | None
    note: str

    @property
    def given(self) -> bool:
        """Whether there were any."""
        return self.source != "none"


@dataclass(frozen=True)
class ReportContext:
    """One report."""

    name: str
    title: str
    owner: str
    audience: str
    dataset: str
    model: str
    summary: Summary
    thresholds: Thresholds
    controls: tuple[Control, ...]
    limits: tuple[str, ...]
    foregrounds: Foregrounds
    findings: tuple[ClassFinding, ...]
    problems: Problems
    provenance: Provenance
    backgrounds: BackgroundMatrix | None
    legend: Picture

    def with_verdict(self, verdict: str) -> tuple[ClassFinding, ...]:
        """The classes of one verdict, the largest effect first."""
        return tuple(f for f in self.findings if f.verdict == verdict)

"""Two runs of one audit beside each other: what changed, class by class, beyond noise."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from audit.findings.values import Estimate, Number, Reason, Record, Share, Verdict


class Change(StrEnum):
    """What became of a class, in the order in which a reader should meet it.

    ``unchanged`` is shown by equivalence: a change as large as the margin is excluded. Where
    neither a change nor its absence is shown, the word is ``unsure``.
    """

    NEW = "new"
    WORSENED = "worsened"
    UNSURE = "unsure"
    NOT_MEASURED = "not_measured"
    FIRST_SEEN = "first_seen"
    IMPROVED = "improved"
    FIXED = "fixed"
    UNCHANGED = "unchanged"


class Comparability(StrEnum):
    """Whether numbers of two runs may be laid side by side.

    ``paired``: the same image contents, geometry, fill and seeds, so that an image meets the same
    backgrounds in both; only the model may differ. ``unpaired``: measured alike, on other images or
    with other backgrounds. ``not_comparable``: measured otherwise.
    """

    PAIRED = "paired"
    UNPAIRED = "unpaired"
    NOT_COMPARABLE = "not_comparable"


class RunName(Record):
    """A run, by the name of its folder."""

    folder: str
    run_id: str
    started: str
    model: str = ""
    """Sha256 of the weights."""


class ClassChange(Record):
    """One class in two runs; effects are those of ``background_gap``, in probability.

    `difference` is later minus earlier, `selected` the same with an interval that is wide enough
    for who reads only the changes that were singled out (Benjamini and Yekutieli 2005). `by_model`
    is the part seen on images that both runs have, `by_images` the rest. `detectable` is the change
    that would have been seen four times in five, `noise` the standard deviation that the drawing of
    backgrounds alone gives the difference.
    """

    label_name: str
    change: Change
    earlier: Verdict | None = None
    later: Verdict | None = None
    gap_earlier: Estimate = Estimate()
    gap_later: Estimate = Estimate()
    difference: Estimate = Estimate()
    selected: Estimate = Estimate()
    by_model: Estimate = Estimate()
    by_images: Number = None
    p_value: Share = None
    q_value: Share = None
    images: int = Field(default=0, ge=0)
    """Measured in the later run."""
    common: int = Field(default=0, ge=0)
    """Images with the same content that both runs measured."""
    detectable: Number = None
    noise: Number = None


class Comparison(Record):
    """A run beside an earlier one; classes in the order of :class:`Change`."""

    earlier: RunName
    later: RunName
    comparability: Comparability
    reasons: tuple[Reason, ...] = ()
    margin: float
    """The smallest change of a gap that counts."""
    model_changed: bool
    images_changed: bool
    earlier_is_accepted: bool = False
    """Whether somebody accepted the earlier run as what later ones are laid beside."""
    classes: tuple[ClassChange, ...] = ()

    def with_change(self, *changes: Change) -> tuple[ClassChange, ...]:
        """The classes of which one of some words is true."""
        return tuple(one for one in self.classes if one.change in changes)

    @property
    def is_repeat(self) -> bool:
        """Whether it is one run beside itself: nothing had changed, and nothing was measured."""
        return self.earlier.run_id == self.later.run_id

    @property
    def is_unchanged(self) -> bool:
        """Whether every class is shown to be as it was."""
        shown = {one.change for one in self.classes}
        return shown == {Change.UNCHANGED}


class TrendPoint(Record):
    """A class in one run of the past; whether model or images differ from the run before it."""

    started: str
    verdict: Verdict
    gap: Estimate
    model_changed: bool = False
    images_changed: bool = False
    waiting: bool = False
    """Suspect, and nobody was called before another audit confirms it."""


class Trend(Record):
    """The gap of a class over the latest runs of an audit, the oldest first."""

    label_name: str
    points: tuple[TrendPoint, ...]

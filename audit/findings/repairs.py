"""``repair.json``: what was refitted, how it was chosen, and what that brought elsewhere."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

from pydantic import Field

from audit.findings.values import Estimate, Kind, Number, Rate, Record, Share, Verdict

REPAIR_VERSION: Final = 1
"""Of ``repair.json``; a file of another version is refused."""
LARGE_LOSS: Final = 0.05
"""From this share of right answers lost a class counts as worse."""


class RepairOutcome(StrEnum):
    """How a repair ended."""

    REPAIRED = "repaired"
    NOTHING_GAINED = "nothing_gained"


class Answers(Record):
    """Right answers of one class on the proof images, by what stands behind the object.

    `own`: the photographs as they are. `swapped_same`, `swapped_other`: the object on backgrounds
    of its own class and of other classes, every swap counted.
    """

    own: Rate
    swapped_same: Rate
    swapped_other: Rate


class RepairedClass(Record):
    """One class before and after, by the same rule on the same proof images."""

    label: int
    label_name: str
    images: int = Field(ge=0)
    before: Answers
    after: Answers
    verdict_before: Verdict
    verdict_after: Verdict
    kind_before: Kind = Kind.NONE
    gap_before: Estimate = Estimate()
    gap_after: Estimate = Estimate()

    @property
    def is_worse(self) -> bool:
        """Whether it is newly suspect, or lost :data:`LARGE_LOSS` of its right answers.

        One answer alone, of 20 photographs already as much, says nothing.
        """
        newly = self.verdict_after is Verdict.SUSPECT and self.verdict_before is not Verdict.SUSPECT
        pairs = (
            (self.before.own, self.after.own),
            (self.before.swapped_other, self.after.swapped_other),
        )
        return newly or any(
            b.hits - a.hits > 1 and (b.value or 0.0) - (a.value or 0.0) >= LARGE_LOSS
            for b, a in pairs
            if b.trials and a.trials
        )


class WholeQuality(Record):
    """All classes together: accuracy of photographs, and of objects on other backgrounds.

    `swapped` is the mean over the classes, `worst` that of the class where it is lowest.
    """

    clean: Share
    swapped: Share
    worst: Share
    worst_class: str | None = None


class PartCounts(Record):
    """Images of each part."""

    refit: int = Field(ge=0)
    selection: int = Field(ge=0)
    proof: int = Field(ge=0)


class RefitFacts(Record):
    """What was refitted, and how it was chosen.

    `penalty` and `swap_share` are those of the way that was chosen, None where nothing was gained;
    `tried` counts ways; `selection_before` and `selection_after` are measured on all images but the
    proof's, the latter by layers that were each fitted without the image. `other_classes` are those
    of the model without any picture: their weights stay.
    """

    layer: str
    tried: int = Field(ge=0)
    penalty: Number = None
    swap_share: Share = None
    max_loss: float = Field(ge=0, le=1)
    refit_pictures: int = Field(ge=0)
    other_classes: int = Field(default=0, ge=0)
    selection_before: WholeQuality
    selection_after: WholeQuality


class ChangedPicture(Record):
    """A swap of a proof image that is answered otherwise after the repair; its path is relative."""

    path: str
    sample_id: str
    label_name: str
    donor_class: str
    before_name: str
    after_name: str
    before: Share
    after: Share


class Repair(Record):
    """``repair.json``."""

    schema_version: Literal[1] = REPAIR_VERSION
    outcome: RepairOutcome
    source_run: str
    suspects: tuple[str, ...]
    weights: str | None = None
    weights_sha256: str | None = None
    replaced: tuple[str, ...] = ()
    images: PartCounts
    minimum_images: int
    refit: RefitFacts
    before: WholeQuality | None = None
    after: WholeQuality | None = None
    classes: tuple[RepairedClass, ...] = ()
    changed: tuple[ChangedPicture, ...] = ()
    counter_examples: int = Field(default=0, ge=0)
    seconds: Number = None

    def with_verdicts(self, verdict: Verdict, *, after: bool) -> tuple[RepairedClass, ...]:
        """The classes that have a verdict before, or after."""
        name = "verdict_after" if after else "verdict_before"
        return tuple(c for c in self.classes if getattr(c, name) is verdict)

    @property
    def freed(self) -> tuple[RepairedClass, ...]:
        """The classes that were suspect on the proof images and are no longer."""
        suspects = self.with_verdicts(Verdict.SUSPECT, after=False)
        return tuple(c for c in suspects if c.verdict_after is not Verdict.SUSPECT)

    @property
    def worse(self) -> tuple[RepairedClass, ...]:
        """The classes that lost by it."""
        return tuple(c for c in self.classes if c.is_worse)

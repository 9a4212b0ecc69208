"""The small values that a finding is made of: words, numbers that may be undefined, reasons."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from audit.findings.codes import VALUES, Code


class Record(BaseModel):
    """A part of the record: frozen, all keys known, no number that is not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _defined(value: Any) -> Any:
    """NaN and infinity are "undefined", which the record writes as None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_defined)]
"""A finite number, or None where it is undefined or was not measured."""

_InRange = Annotated[float, Field(ge=-1e-6, le=1 + 1e-6)]
Share = Annotated[_InRange | None, BeforeValidator(_defined)]
"""A number in 0..1 up to rounding, or None."""


class Verdict(StrEnum):
    """The word of a class, in the order in which a reader should meet them."""

    SUSPECT = "suspect"
    WATCH = "watch"
    INCONCLUSIVE = "inconclusive"
    CLEAR = "clear"

    @property
    def urgency(self) -> int:
        """0 for the most urgent."""
        return list(Verdict).index(self)


class Kind(StrEnum):
    """Whose background a suspect class depends on."""

    OWN_SHORTCUT = "own_shortcut"
    VICTIM = "victim"
    NONE = "none"


class Strength(StrEnum):
    """How large the effect of a suspect class is."""

    STRONG = "strong"
    MODERATE = "moderate"
    NONE = "none"


class Status(StrEnum):
    """What became of one sample."""

    SCORED = "scored"
    NO_FOREGROUND = "no_foreground"
    FULL_FOREGROUND = "full_foreground"
    BLANK_MAP = "blank_map"
    UNREADABLE = "unreadable"
    NOT_FINITE = "not_finite"


class RunStatus(StrEnum):
    """How far a run has come."""

    RUNNING = "running"
    FAILED = "failed"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"


class Says(StrEnum):
    """What an indicator, asked by itself, says a class depends on."""

    BACKGROUND = "background"
    OBJECT = "object"
    UNCLEAR = "unclear"


class IndicatorName(StrEnum):
    """The ways of asking whether a class depends on its background."""

    BACKGROUND_SWAP = "background_swap"
    FOLLOW_UP = "follow_up"
    ATTRACTION = "attraction"
    BACKGROUND_ONLY = "background_only"
    SALIENCY = "saliency"
    CMV = "cmv"


class Unit(StrEnum):
    """In what an indicator is measured."""

    PROBABILITY = "probability"
    RATE = "rate"
    LOG_ODDS = "log_odds"
    SHARE = "share"


class ControlName(StrEnum):
    """The run's checks of itself."""

    NEGATIVE = "negative"
    POSITIVE = "positive"
    UNTRAINED = "untrained"


class Role(StrEnum):
    """Why a sample is shown: the rule that chose it."""

    WORST = "worst"
    TYPICAL = "typical"
    BEST = "best"
    MISTAKEN = "mistaken"


class SplitPart(StrEnum):
    """What the images of a repair are for; no image and no background is for two things."""

    REFIT = "refit"
    SELECTION = "selection"
    PROOF = "proof"


class Estimate(Record):
    """A number with its 95 % interval; each may be undefined.

    Examples
    --------
    >>> Estimate(value=0.5, low=float("nan")).low is None
    True
    """

    value: Number = None
    low: Number = None
    high: Number = None


class Rate(Record):
    """So many of so many, with the 95 % interval of the rate (Wilson)."""

    hits: int = Field(ge=0)
    trials: int = Field(ge=0)
    low: Share = None
    high: Share = None

    @property
    def value(self) -> float | None:
        """The rate, 0..1; None without trials."""
        return self.hits / self.trials if self.trials else None


class Reason(Record):
    """Why something is as it is: a code for machines with the values that its sentence needs.

    The sentence itself is made by :mod:`audit.report.sentences`, in the language of the report.

    Examples
    --------
    >>> Reason(code=Code.SELDOM_RECOGNISED, values={"recall": 0.25}).values["recall"]
    0.25
    """

    code: Code
    values: dict[str, int | Number | str] = {}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = VALUES.get(self.code, ())
        if self.code is not Code.TAGS_FOUND and set(self.values) != set(needed):
            raise ValueError(f"a reason {self.code} has the values {', '.join(needed) or 'none'}")
        return self

    def __hash__(self) -> int:
        """By content: the same advice is gathered for several classes."""
        return hash((self.code, tuple(sorted(self.values.items()))))

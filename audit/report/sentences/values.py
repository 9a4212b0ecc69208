"""What a sentence asks of the values of a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from audit.findings import Estimate
from audit.report.i18n import gettext
from audit.report.untrusted import shorten

Values = Mapping[str, int | float | str | None]
Sentence = Callable[[Values], str]


def fixed(message: str) -> Sentence:
    """A sentence without values."""
    return lambda _: gettext(message)


def number_of(values: Values, key: str) -> float | None:
    """A number; None where it is undefined."""
    value = values[key]
    return None if isinstance(value, str) else value


def count_of(values: Values, key: str) -> int:
    """A count; an undefined one counts as none."""
    return int(number_of(values, key) or 0)


def name_of(values: Values, key: str) -> str:
    """A name, short enough for a sentence; empty where there is none."""
    return shorten(str(values[key] or ""))


def effect_of(values: Values, key: str) -> Estimate:
    """A number with its interval."""
    ends = (number_of(values, f"{key}{end}") for end in ("", "_low", "_high"))
    return Estimate(**dict(zip(("value", "low", "high"), ends, strict=True)))

"""Numbers as a reader should meet them: one way for the page and the terminal.

"Almost all" is never rounded to all nor "hardly any" to none, nothing is "-0", and what is unknown
is never 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from babel.numbers import format_decimal

from audit.findings import Estimate
from audit.report.i18n import gettext, ngettext, speaking, whole

_SPACE = "\N{NO-BREAK SPACE}"


def not_measured() -> str:
    """What stands where there is no number."""
    return gettext("not measured")


def plural(count: int, one: str, many: str | None = None) -> str:
    """Give a count its noun, in English: for messages, not for the page.

    Examples
    --------
    >>> plural(1, "class", "classes"), plural(2000, "image")
    ('1 class', '2,000 images')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def share(value: float | None) -> str:
    """Show a rate of 0..1 in per cent, with a space that does not break.

    Examples
    --------
    >>> [" ".join(share(v).split()) for v in (0.714, 0.004, 0.05, 0.997, 0.9996, 1.0)]
    ['71 %', '0.4 %', '5 %', '99.7 %', '99.9 %', '100 %']
    >>> [" ".join(share(v).split()) for v in (0.0, 0.0002, None)]
    ['0 %', '< 0.1 %', 'not measured']
    """
    if value is None:
        return not_measured()
    percent = 100 * value
    if 0 < percent < 0.05:
        return f"<{_SPACE}{_written(0.1, '0.0')}{_SPACE}%"
    if 99 < percent < 100:
        percent = min(math.floor(10 * percent + 1e-9) / 10, 99.9)
        return f"{_written(percent, '0.#')}{_SPACE}%"
    return f"{_written(percent, '0' if abs(percent) >= 9.95 else '0.#')}{_SPACE}%"


def points(value: float | None) -> str:
    """Show a difference of two rates in percentage points, without the word.

    Examples
    --------
    >>> points(0.452), points(-0.004), points(-0.05), points(None)
    ('45', '0', '−5', 'not measured')
    """
    return not_measured() if value is None else whole(round(100 * value))


def counted_points(value: float) -> str:
    """Show a difference of two rates with its word.

    Examples
    --------
    >>> counted_points(0.012), counted_points(0.45)
    ('1 point', '45 points')
    """
    return ngettext("%(num)s point", "%(num)s points", round(100 * value))


def with_interval(estimate: Estimate) -> str:
    """Show an effect in percentage points with its interval.

    Examples
    --------
    >>> with_interval(Estimate(value=0.45, low=0.38, high=0.52)), with_interval(Estimate())
    ('45 points (95 % interval 38 to 52)', 'not measured')
    """
    if estimate.value is None:
        return not_measured()
    counted = counted_points(estimate.value)
    if estimate.low is None or estimate.high is None:
        return gettext("%(points)s (no interval)", points=counted)
    return gettext(
        "%(points)s (95 %% interval %(low)s to %(high)s)",
        points=counted,
        low=points(estimate.low),
        high=points(estimate.high),
    )


def brief_interval(estimate: Estimate) -> str:
    """Show an effect in percentage points with its interval, for a column that says so.

    Examples
    --------
    >>> brief_interval(Estimate(value=0.45, low=0.38, high=0.52)), brief_interval(Estimate())
    ('45 (38 to 52)', 'not measured')
    """
    if estimate.low is None or estimate.high is None:
        return points(estimate.value)
    ends = gettext("%(low)s to %(high)s", low=points(estimate.low), high=points(estimate.high))
    return f"{points(estimate.value)} ({ends})"


def number(value: float | None, digits: int = 2) -> str:
    """Show a number with a fixed count of decimals and a true minus sign.

    Examples
    --------
    >>> number(0.123), number(-1.5, 1), number(None), number(-0.001)
    ('0.12', '−1.5', 'not measured', '0.00')
    """
    return not_measured() if value is None else _written(value, f"#,##0.{'0' * digits}", digits)


def number_with_interval(estimate: Estimate, digits: int = 1) -> str:
    """Show a number that is no rate with its 95 % interval.

    Examples
    --------
    >>> number_with_interval(Estimate(value=-3.9, low=-6.15, high=-1.6))
    '−3.9 (−6.2 to −1.6)'
    """
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return number(estimate.value, digits)
    ends = gettext(
        "%(low)s to %(high)s", low=number(estimate.low, digits), high=number(estimate.high, digits)
    )
    return f"{number(estimate.value, digits)} ({ends})"


def chance(value: float | None) -> str:
    """Show a p- or q-value; small ones as a bound.

    Examples
    --------
    >>> [" ".join(chance(v).split()) for v in (0.0302, 0.0, None)]
    ['0.030', '< 0.001', 'not measured']
    """
    if value is None:
        return not_measured()
    return f"<{_SPACE}{number(0.001, 3)}" if value < 0.001 else number(value, 3)


def equals_chance(name: str, value: float | None) -> str:
    """Show a p- or q-value with its name.

    Examples
    --------
    >>> [" ".join(equals_chance("q", v).split()) for v in (0.0302, 0.0)]
    ['q = 0.030', 'q < 0.001']
    """
    shown = chance(value)
    return f"{name}{_SPACE}{shown}" if shown.startswith("<") else f"{name}{_SPACE}={_SPACE}{shown}"


def sort_key(value: float | None) -> str:
    """Write a number for the page's script to sort by; empty where it is unknown.

    Examples
    --------
    >>> sort_key(0.123456789), sort_key(None)
    ('0.123457', '')
    """
    return "" if value is None else f"{value:.6g}"


def duration(seconds: float | None) -> str:
    """Show a time span in the two units that matter.

    Examples
    --------
    >>> duration(0.42), duration(75), duration(3725), duration(None)
    ('0.4 s', '1 min 15 s', '1 h 2 min', 'not measured')
    """
    if seconds is None:
        return not_measured()
    if seconds < 59.95:
        return f"{number(seconds, 1)} s"
    rounded = round(seconds)
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60} min"


def listing(names: Sequence[str], limit: int = 6) -> str:
    """Join names as a sentence does.

    Examples
    --------
    >>> listing(["a"]), listing(["a", "b", "c"]), listing(["a", "b", "c", "d"], 2)
    ('a', 'a, b and c', 'a, b and 2 more')
    """
    if len(names) > limit:
        first, more = ", ".join(names[:limit]), whole(len(names) - limit)
        return gettext("%(first)s and %(more)s more", first=first, more=more)
    if len(names) < 2:
        return "".join(names)
    return gettext("%(first)s and %(last)s", first=", ".join(names[:-1]), last=names[-1])


def _written(value: float, pattern: str, digits: int | None = None) -> str:
    if digits is None:
        digits = len(pattern.partition(".")[2])
    # Adding 0 turns -0.0 into 0.0.
    shown = format_decimal(round(value, digits) + 0.0, pattern, locale=speaking().locale)
    return shown.replace("-", "−")

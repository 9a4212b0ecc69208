"""Names and numbers as a reader should meet them: clean, short, and never 0 for "unknown"."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

from audit.report.i18n import decimal, say, whole

NAME_SHOWN, NAME_KEPT = 60, 1000
_SPACE = "\N{NO-BREAK SPACE}"

# They turn the reading direction of what follows them, so a name could rewrite its neighbours.
_BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Surrogates, controls, unassigned and private characters: no font has them, some break XML.
_UNPRINTABLE = {"Cc", "Cs", "Cn", "Co"}
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_QUERY = re.compile(r"(?<=\w)\?[^\s\"']*=[^\s\"']*")
# Three shapes of a path from the root: POSIX with two steps or more, home, and a Windows drive.
_ABSOLUTE = re.compile(
    r"(?<![\w.:/\\~])(?:~?(?:/[^\s/\"'<>:,;()]+){2,}/?|(?:[A-Za-z]:)?\\(?:[^\s\\\"'<>:,;()]+\\?)+)"
)
_FILE_URL = re.compile(r"\bfile:/+", re.IGNORECASE)


def clean_text(text: object, limit: int = NAME_KEPT) -> str:
    r"""Make foreign text one line without control characters or direction marks.

    Parameters
    ----------
    text : object
        Shown as ``str(text)``.
    limit : int
        Longest result in characters; what is cut ends in an ellipsis.

    Examples
    --------
    >>> clean_text("a\u202eb\x00\n  c"), clean_text("abcdef", 4), clean_text(" ")
    ('ab c', 'abc…', '')
    """
    kept = "".join(
        " " if c.isspace() else c
        # A name of a gigabyte is not looked at to its end.
        for c in str(text)[: 20 * limit]
        if c.isspace() or (c not in _BIDI and unicodedata.category(c) not in _UNPRINTABLE)
    )
    return shorten(" ".join(kept.split()), limit)


def shorten(text: str, limit: int = NAME_SHOWN) -> str:
    """Cut a long text and show that it was cut."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def discreet(text: object, limit: int = NAME_KEPT) -> str:
    """Clean foreign text and leave out passwords, signed queries and where a computer keeps files.

    Examples
    --------
    >>> discreet("cannot read /home/ann/photos/a.png")
    'cannot read …/a.png'
    >>> discreet("s3://KEY:SECRET@bucket/a?sig=1")
    's3://…@bucket/a?…'
    """
    shown = _FILE_URL.sub("/", clean_text(text, 10 * limit))
    shown = _QUERY.sub("?…", _CREDENTIALS.sub("…@", shown))
    return shorten(_ABSOLUTE.sub(_last_step, shown), limit)


def _last_step(found: re.Match[str]) -> str:
    return "…/" + re.split(r"[/\\]", found[0].rstrip("/\\"))[-1]


def not_measured() -> str:
    """What stands where there is no number."""
    return say("not measured")


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
    >>> [" ".join(share(v).split()) for v in (0.714, 0.004, 0.05, 0.9996, None)]
    ['71 %', '0.4 %', '5 %', '99.9 %', 'not measured']
    """
    if value is None:
        return not_measured()
    percent = 100 * value
    if 99 < percent < 100:
        # Rounding must not turn "almost all" into "all".
        return decimal(f"{math.floor(10 * percent + 1e-9) / 10:g}{_SPACE}%")
    digits = 0 if abs(percent) >= 9.95 else 1
    shown = f"{percent:.{digits}f}".removesuffix(".0")
    return decimal(f"{'0' if shown == '-0' else shown}{_SPACE}%".replace("-", "−"))


def points(value: float | None) -> str:
    """Show a difference of two rates in percentage points, without the word.

    Examples
    --------
    >>> points(0.452), points(-0.004), points(None)
    ('45', '0', 'not measured')
    """
    return not_measured() if value is None else f"{round(100 * value):d}".replace("-", "−")


def number(value: float | None, digits: int = 2) -> str:
    """Show a number with a fixed count of decimals and a true minus sign.

    Examples
    --------
    >>> number(0.123), number(-1.5, 1), number(None), number(-0.001)
    ('0.12', '−1.5', 'not measured', '0.00')
    """
    if value is None:
        return not_measured()
    shown = f"{value:.{digits}f}"
    return decimal(shown.lstrip("-") if float(shown) == 0 else shown.replace("-", "−"))


def chance(value: float | None) -> str:
    """Show a p- or q-value; small ones as a bound.

    Examples
    --------
    >>> [" ".join(chance(v).split()) for v in (0.0302, 0.0, None)]
    ['0.030', '< 0.001', 'not measured']
    """
    if value is None:
        return not_measured()
    return decimal(f"<{_SPACE}0.001" if value < 0.001 else f"{value:.3f}")


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
    if seconds < 60:
        return decimal(f"{seconds:.1f} s")
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
        return say("%(first)s and %(more)s more", first=first, more=more)
    if len(names) < 2:
        return "".join(names)
    return say("%(first)s and %(last)s", first=", ".join(names[:-1]), last=names[-1])

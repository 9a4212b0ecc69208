"""Text that others wrote: names, paths, sentences of a run folder, made safe to show."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from audit.findings.values import Record
from audit.report.i18n import gettext
from audit.secrets import last_step, without_home, without_keys

R = TypeVar("R", bound=Record)

NAME_SHOWN, NAME_KEPT = 60, 1000

# They turn the reading direction of what follows them, so a name could rewrite its neighbours.
_BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Surrogates, controls, unassigned and private characters: no font has them, some break XML.
_UNPRINTABLE = {"Cc", "Cs", "Cn", "Co"}
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


def longest_word(text: str) -> int:
    """Count the characters of the longest word: what is too wide for a line must break inside.

    Examples
    --------
    >>> longest_word("African elephant"), longest_word("")
    (8, 0)
    """
    return max(map(len, text.split()), default=0)


def discreet(text: object, limit: int = NAME_KEPT) -> str:
    """Clean foreign text and leave out passwords, signed queries and where a computer keeps files.

    Examples
    --------
    >>> discreet("cannot read /home/ann/photos/a.png")
    'cannot read …/a.png'
    >>> discreet("s3://KEY:SECRET@bucket/a?sig=1")
    's3://…@bucket/a?…'
    """
    shown = without_keys(_FILE_URL.sub("/", clean_text(text, 10 * limit)))
    return shorten(_ABSOLUTE.sub(last_step, shown), limit)


def discreet_name(text: object) -> str:
    """Clean the name of a class: it may look like a path, but holds no secret and no home.

    Examples
    --------
    >>> discreet_name("/etc/passwd"), discreet_name("/home/ann/cats/tabby")
    ('/etc/passwd', '…/tabby')
    """
    return shorten(without_home(without_keys(clean_text(text, 10 * NAME_KEPT))), NAME_KEPT)


_NAMES = {
    *("label_name", "prediction_name", "donor_class", "rival"),
    *("attractor", "attracting_class", "contrast_class", "class_names", "labels"),
    *("before_name", "after_name", "worst_class", "suspects"),
}
"""Fields that hold the name of a class."""


def cleaned(record: R) -> R:
    """The same record with every text in it cleaned; a class without a name is said to have none.

    Every text, whatever field may come: what a page shows of a record has been through here.
    """
    return type(record).model_validate(_cleaned(record.model_dump(), discreet))


def _cleaned(value: Any, clean: Callable[[object], str]) -> Any:
    if isinstance(value, Enum) or not isinstance(value, (str, dict, list, tuple)):
        return value
    if isinstance(value, str):
        return clean(value) or (gettext("(no name)") if clean is discreet_name else "")
    if isinstance(value, dict):
        return {
            discreet(key, 100) if isinstance(key, str) else key: _cleaned(
                item, discreet_name if key in _NAMES else clean
            )
            for key, item in value.items()
        }
    return tuple(_cleaned(item, clean) for item in value)

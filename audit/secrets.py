"""What must not be repeated: values of the environment, keys in addresses, a person's home.

A manifest names its secrets as ``${NAME}``. What stood in their place is remembered here, so that a
message that quotes it, whoever wrote the message, has the name again.
"""

from __future__ import annotations

import re
from typing import Final

SHORTEST: Final = 8
"""Shorter values, such as a number or ``cpu``, stand in too many sentences to be told apart."""

_values: dict[str, str] = {}
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_QUERY = re.compile(r"(?<=\w)\?[^\s\"']*=[^\s\"']*")
# Where people keep files of their own.
_HOME = re.compile(
    r"(?<![\w.])(?:(?:/(?:home|Users)/[^\s/\"'<>]+|/root|~)(?:/[^\s/\"'<>:,;()]+)+/?"
    r"|[A-Za-z]:\\Users\\(?:[^\s\\\"'<>:,;()]+\\?)+)"
)


def remember(name: str, value: str) -> None:
    """Take note of what a variable of the environment put into a manifest."""
    if len(value) >= SHORTEST:
        _values[value] = name


def with_names(text: str) -> str:
    """Put ``${NAME}`` back in the place of each remembered value.

    Examples
    --------
    >>> remember("TOKEN_OF_THIS_EXAMPLE", "s3cr3t-example")
    >>> with_names("cannot open /data/s3cr3t-example/a.png")
    'cannot open /data/${TOKEN_OF_THIS_EXAMPLE}/a.png'
    """
    # The longest first: one value may hold another.
    for value in sorted(_values, key=len, reverse=True):
        if value in text:
            text = text.replace(value, f"${{{_values[value]}}}")
    return text


def without_keys(text: str) -> str:
    """Leave out passwords and signed queries of addresses.

    Examples
    --------
    >>> without_keys("s3://KEY:SECRET@bucket/a?sig=1")
    's3://…@bucket/a?…'
    """
    return _QUERY.sub("?…", _CREDENTIALS.sub("…@", text))


def without_home(text: str) -> str:
    """Leave out in which home a file lies.

    Examples
    --------
    >>> without_home("cannot read /home/ann/photos/a.png")
    'cannot read …/a.png'
    """
    return _HOME.sub(last_step, text)


def last_step(match: re.Match[str]) -> str:
    """The last name of a path that was found, behind an ellipsis."""
    return "…/" + re.split(r"[/\\]", match[0].rstrip("/\\"))[-1]


def guarded(text: str) -> str:
    """The text with nothing in it that must not be repeated."""
    return without_home(without_keys(with_names(text)))

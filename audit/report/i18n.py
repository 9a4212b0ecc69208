"""The language of the report's own words: English in the sources, others in a catalogue.

The English sentence itself is the key, as gettext does it, so that the templates can be read; a
catalogue is one TOML file in ``report_templates``. Which language is spoken is a context variable:
every number and every sentence of a page asks for it, and none can be forgotten on the way.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from markupsafe import Markup

import report_templates


@dataclass(frozen=True)
class Language:
    """One language.

    Parameters
    ----------
    code : str
        For the page's ``lang``.
    decimal, thousands : str
        The marks in a number.
    messages : mapping of str to str
        By the English text; both hold ``%(name)s`` for what is filled in, and ``%%`` for ``%``.
    plurals : mapping of str to (str, str)
        One and many, by the English for one.
    recorded : mapping of str to str
        What a run writes down in English, word for word.
    """

    code: str = "en"
    decimal: str = "."
    thousands: str = ","
    messages: Mapping[str, str] = field(default_factory=dict, repr=False)
    plurals: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    recorded: Mapping[str, str] = field(default_factory=dict, repr=False)


ENGLISH = Language()
_SPOKEN: ContextVar[Language] = ContextVar("spoken", default=ENGLISH)


def read_language(code: str) -> Language:
    """Read the catalogue of a language that the manifest may name; ``en`` needs none."""
    if code == ENGLISH.code:
        return ENGLISH
    held = tomllib.loads(report_templates.text_of(f"{code}.toml"))
    return Language(
        code=code,
        **held["numbers"],
        messages=held["messages"],
        plurals={one: (few[0], few[1]) for one, few in held["plurals"].items()},
        recorded=held["recorded"],
    )


@contextmanager
def spoken(language: Language) -> Iterator[None]:
    """Speak a language until the block ends."""
    before = _SPOKEN.set(language)
    try:
        yield
    finally:
        _SPOKEN.reset(before)


def speaking() -> Language:
    """The language that is spoken now."""
    return _SPOKEN.get()


def message(english: str) -> str:
    """Look a text up; what the catalogue lacks, as a user's own template may, stays as it is."""
    return speaking().messages.get(english, english)


def say(english: str, **values: object) -> str:
    """Say a sentence with its values filled in.

    Examples
    --------
    >>> say("Up to %(count)s of 100 %%", count=3)
    'Up to 3 of 100 %'
    """
    return message(english) % values


def whole(count: int) -> str:
    """Show a whole number with its thousands marked.

    Examples
    --------
    >>> whole(1234567)
    '1,234,567'
    """
    return f"{count:,}".replace(",", speaking().thousands).replace("-", "−")


def decimal(shown: str) -> str:
    """Give a number that was formatted with a point the mark of the language."""
    return shown.replace(".", speaking().decimal)


def counted(count: int, one: str, many: str | None = None) -> str:
    """Give a count its noun.

    Examples
    --------
    >>> counted(1, "class", "classes"), counted(2000, "image")
    ('1 class', '2,000 images')
    """
    few = speaking().plurals.get(one, (one, many or one + "s"))
    return f"{whole(count)} {few[0] if count == 1 else few[1]}"


def known(text: str) -> str:
    """Show a word that the run wrote down, such as a verdict, in plain text."""
    return speaking().recorded.get(text, text)


def recorded(text: str) -> str:
    """Show what the run wrote down in English; where it cannot be translated, marked as English.

    The verdicts write their reasons once, with numbers and names in them. Only sentences that are
    always the same have an entry; the others are shown as they were decided.
    """
    language = speaking()
    if language is ENGLISH or not text:
        return text
    known = language.recorded.get(text)
    return known if known is not None else Markup('<span lang="en">{}</span>').format(text)

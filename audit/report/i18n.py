"""The language of the report's own words: English in the sources, gettext catalogues for others.

``report_templates/locales`` holds one ``messages.po`` a language, read as it is: nothing has to be
compiled. Which language is spoken is a context variable: every number and every sentence of a page
asks for it, and none can be forgotten on the way. The functions are those of gettext; values are
filled in by name, as Flask-Babel does it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import NullTranslations, Translations

import report_templates


@dataclass(frozen=True)
class Language:
    """One language.

    Parameters
    ----------
    code : str
        For the page's ``lang``.
    locale : Locale
        How it writes numbers and dates.
    translations : NullTranslations
        Its catalogue; none for English.
    """

    code: str
    locale: Locale
    translations: NullTranslations = field(repr=False)


# The English of the sources is British, and so are its dates.
ENGLISH = Language("en", Locale("en", "GB"), NullTranslations())
_SPOKEN: ContextVar[Language] = ContextVar("spoken", default=ENGLISH)


@cache
def read_language(code: str) -> Language:
    """Read the catalogue of a language that the manifest may name; ``en`` needs none."""
    if code == ENGLISH.code:
        return ENGLISH
    catalogue = read_po(io.BytesIO(report_templates.catalogue(code)), locale=code)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Language(code, Locale.parse(code), Translations(compiled))


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


def N_(message: str) -> str:  # noqa: N802  # gettext's own name
    """Mark a message for the catalogue where it is not yet said."""
    return message


def gettext(message: str, /, **values: object) -> str:
    """Say a message with its values filled in; ``%%`` stands for a per cent sign.

    Examples
    --------
    >>> gettext("Up to %(count)s of 100 %%", count=3)
    'Up to 3 of 100 %'
    """
    return looked_up(message) % values


def pgettext(context: str, message: str, /, **values: object) -> str:
    """Say a message that has another translation elsewhere."""
    text = str(speaking().translations.pgettext(context, message))
    return text % values


def ngettext(one: str, many: str, num: int, /, **values: object) -> str:
    """Say a message in the form that a count wants; ``%(num)s`` is the count itself.

    Examples
    --------
    >>> [ngettext("%(num)s class", "%(num)s classes", n) for n in (1, 2000, -1)]
    ['1 class', '2,000 classes', '−1 class']
    """
    return looked_up_plural(one, many, num) % {"num": whole(num), **values}


def whole(count: int) -> str:
    """Show a whole number with its thousands marked and a true minus sign.

    Examples
    --------
    >>> whole(1234567), whole(-3)
    ('1,234,567', '−3')
    """
    return format_decimal(count, "#,##0", locale=speaking().locale).replace("-", "−")


def looked_up(message: str) -> str:
    """Look a message up; what the catalogue lacks, as a user's own template may, stays as it is."""
    text: str = speaking().translations.gettext(message)
    return text


def looked_up_plural(one: str, many: str, num: int) -> str:
    """Look up the form that a count wants; a count below 0 is counted like its size."""
    text: str = speaking().translations.ngettext(one, many, abs(num))
    return text

"""Days and times as a reader should meet them."""

from __future__ import annotations

from datetime import datetime

from babel.dates import format_date

from audit.report.i18n import gettext, speaking


def day(moment: str | None) -> str:
    """Show the day of a moment that ``run.json`` wrote down.

    Examples
    --------
    >>> day("2026-11-22T20:04:05Z"), day(None)
    ('22 November 2026', 'not recorded')
    """
    read = _moment(moment)
    return (
        gettext("not recorded")
        if read is None
        else format_date(read, "long", locale=speaking().locale)
    )


def day_and_time(moment: str | None) -> str:
    """Show a moment that ``run.json`` wrote down, in universal time.

    Examples
    --------
    >>> day_and_time("2026-11-22T20:04:05Z")
    '22 November 2026, 20:04:05 UTC'
    """
    read = _moment(moment)
    if read is None:
        return gettext("not recorded")
    return f"{day(moment)}, {read:%H:%M:%S} UTC"


def _moment(written: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(written or "")
    except ValueError:
        return None

"""WeasyPrint behind a wall: it gets the page and the page's own pictures, and nothing else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import weasyprint
from weasyprint.urls import URLFetcher, URLFetcherResponse

from audit.errors import ReportError
from audit.report.formatting import plural
from audit.report.i18n import gettext
from audit.report.pictures import Picture
from audit.report.untrusted import discreet


class OwnPictures(URLFetcher):  # type: ignore[misc]  # WeasyPrint has no types
    """Serves pictures from memory; refuses every other address and remembers how many.

    Parameters
    ----------
    pictures : mapping of str to Picture
        By the address that the page uses.
    """

    def __init__(self, pictures: Mapping[str, Picture]) -> None:
        super().__init__(allowed_protocols=(), allow_redirects=False)
        self._pictures = pictures
        self.refused: list[str] = []

    def fetch(self, url: str, headers: object = None) -> URLFetcherResponse:
        """Return a picture of the page.

        Raises
        ------
        ValueError
            The page asked for anything else.
        """
        picture = self._pictures.get(url)
        if picture is None:
            self.refused.append(url)
            raise ValueError("refused: not a picture of this report")
        return URLFetcherResponse(url, picture.content, {"Content-Type": picture.media_type})


@dataclass(frozen=True)
class Printed:
    """A document, and the characters on it that no font of this computer has."""

    content: bytes = field(repr=False)
    missing: frozenset[str] = frozenset()


class _Said(logging.Handler):
    """Collects what WeasyPrint only logs, of this thread alone."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.thread = threading.get_ident()
        self.errors: list[str] = []
        self.missing: set[Any] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread != self.thread:
            return
        if record.levelno >= logging.ERROR:
            self.errors.append(record.getMessage())
        elif isinstance(record.msg, str) and record.msg.startswith(".notdef glyph"):
            self.missing.update(record.args[:1] if isinstance(record.args, tuple) else ())


def print_pdf(
    page: str,
    pictures: Mapping[str, Picture],
    identifier: str,
    attachments: Mapping[str, bytes] | None = None,
    made: str = "",
) -> Printed:
    """Turn a page into a tagged PDF.

    Parameters
    ----------
    page : str
        HTML whose pictures are named as in `pictures`.
    pictures : mapping of str to Picture
        All that the page may show.
    identifier : str
        Of the document; the run's fingerprint.
    attachments : mapping of str to bytes, optional
        Files that the document carries, by name.
    made : str
        When, as ``run.json`` writes it; the attachments' date.

    Raises
    ------
    ReportError
        WeasyPrint failed, logged an error, or asked for an address outside `pictures`.
    """
    fetcher, messages = OwnPictures(pictures), _Said()
    logger = logging.getLogger("weasyprint")
    logger.addHandler(messages)
    level, spread = logger.level, logger.propagate
    logger.setLevel(logging.WARNING)
    # Most of its warnings tell of screen rules that paper ignores.
    logger.propagate = False
    try:
        printed: bytes = weasyprint.HTML(string=page, url_fetcher=fetcher).write_pdf(
            pdf_variant="pdf/ua-1",
            pdf_identifier=identifier.encode() or None,
            attachments=_attached(attachments or {}, made),
        )
    except Exception as error:  # WeasyPrint may fail in any of its libraries' ways
        raise ReportError(
            f"report.pdf could not be made ({type(error).__name__}: {discreet(error, 200)}); "
            "report.html and the scores are kept"
        ) from error
    finally:
        logger.setLevel(level)
        logger.propagate = spread
        logger.removeHandler(messages)
    if fetcher.refused:
        addresses = plural(len(fetcher.refused), "address", "addresses")
        raise ReportError(
            f"report.pdf: the page asked for {addresses} outside the report, first "
            f"{discreet(fetcher.refused[0], 120)!r}; nothing was fetched and no PDF was written"
        )
    if messages.errors:
        raise ReportError(
            f"report.pdf: {plural(len(messages.errors), 'error')} while printing, first: "
            f"{discreet(messages.errors[0], 300)}"
        )
    return Printed(printed, frozenset(messages.missing))


def _attached(files: Mapping[str, bytes], made: str) -> list[weasyprint.Attachment]:
    try:
        moment = datetime.fromisoformat(made)
    except ValueError:
        # Not today: the same report shall be the same file.
        moment = datetime(2000, 1, 1, tzinfo=UTC)
    return [
        weasyprint.Attachment(
            string=content,
            name=name,
            description=gettext("Every class of this report in numbers"),
            created=moment,
            modified=moment,
            relationship="Data",
        )
        for name, content in files.items()
    ]

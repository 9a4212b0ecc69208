"""WeasyPrint behind a wall: it gets the page and the page's own pictures, and nothing else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from datetime import UTC, datetime

import weasyprint
from weasyprint.urls import URLFetcher, URLFetcherResponse

from audit.errors import ReportError
from audit.report.formatting import discreet, plural
from audit.report.i18n import say
from audit.report.pictures import Picture


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


class _Errors(logging.Handler):
    """Collects what WeasyPrint only logs, of this thread alone."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.thread = threading.get_ident()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread:
            self.messages.append(record.getMessage())


def print_pdf(
    page: str,
    pictures: Mapping[str, Picture],
    identifier: str,
    attachments: Mapping[str, bytes] | None = None,
    made: str = "",
) -> bytes:
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
    fetcher, errors = OwnPictures(pictures), _Errors()
    logger = logging.getLogger("weasyprint")
    logger.addHandler(errors)
    # Its warnings tell of screen rules that paper ignores.
    level = logger.level
    logger.setLevel(logging.ERROR)
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
        logger.removeHandler(errors)
    if fetcher.refused:
        addresses = plural(len(fetcher.refused), "address", "addresses")
        raise ReportError(
            f"report.pdf: the page asked for {addresses} outside the report, first "
            f"{discreet(fetcher.refused[0], 120)!r}; nothing was fetched and no PDF was written"
        )
    if errors.messages:
        raise ReportError(
            f"report.pdf: {plural(len(errors.messages), 'error')} while printing, first: "
            f"{discreet(errors.messages[0], 300)}"
        )
    return printed


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
            description=say("Every class of this report in numbers"),
            created=moment,
            modified=moment,
            relationship="Data",
        )
        for name, content in files.items()
    ]

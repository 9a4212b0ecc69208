"""HTML, and the PDF from the same context: one set of templates, two media."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from PIL import ImageFile

from audit.errors import ReportError
from audit.manifest import ReportSection
from audit.report.context import ReportContext, load_context
from audit.report.i18n import read_language, spoken
from audit.report.page_limits import PRINT, Address, Medium, Page, fit_page, write_beside
from audit.report.pages import Unprintable, fill_page
from audit.report.pictures import Picture
from audit.report.style import ReportStyle, read_style
from audit.writing import write_bytes

FORMATS = ("html", "pdf")
ATTACHED = "classes.csv"
_ATTACHMENT_BYTES = 16 * 1024 * 1024
_LOG = logging.getLogger("audit.report")


def render_report(
    run_folder: Path,
    formats: Sequence[str],
    settings: ReportSection | None = None,
    *,
    trust_templates: bool = False,
) -> dict[str, Path]:
    """Write ``report.html`` and ``report.pdf`` into a run folder.

    The HTML is written first and stays when the PDF fails. A PDF of an earlier state of the run
    is then removed, lest it be sent for the new one.

    Parameters
    ----------
    run_folder : Path
        Of a run that has come as far as its findings; maybe somebody else's.
    formats : sequence of str
        Any of :data:`FORMATS`; none writes nothing.
    settings : ReportSection, optional
        Of the manifest: language, paper, colours, audience, size.
    trust_templates : bool
        Whether templates that lie in the run folder are used. They run in a sandbox, but what they
        say stands in the report.

    Returns
    -------
    dict of str to Path
        Where each format was written.

    Raises
    ------
    ReportError
        An unknown format, something missing in the run folder, or the PDF failed.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise ReportError(
            f"report.formats: expected any of {', '.join(FORMATS)}, found {unknown[0]!r}"
        )
    if not formats:
        return {}
    settings = settings or ReportSection()
    with spoken(read_language(settings.language)):
        style = read_style(run_folder, settings, trust_templates=trust_templates)
        return _write(run_folder, formats, load_context(run_folder), style)


def _write(
    run_folder: Path, formats: Sequence[str], context: ReportContext, style: ReportStyle
) -> dict[str, Path]:
    written = {}
    if "html" in formats:
        written["html"] = run_folder / "report.html"
        page = _fitted(context, style)
        write_beside(run_folder, page)
        write_bytes(written["html"], page.content.encode())
    if "pdf" in formats:
        target = run_folder / "report.pdf"
        try:
            write_bytes(target, render_pdf(context, style, _attachments(run_folder)))
        except ReportError:
            target.unlink(missing_ok=True)
            raise
        written["pdf"] = target
    return written


def _attachments(run_folder: Path) -> dict[str, bytes]:
    """The table of all classes, where it is there and can be sent."""
    path = run_folder / ATTACHED
    if not path.is_file() or path.stat().st_size > _ATTACHMENT_BYTES:
        return {}
    return {ATTACHED: path.read_bytes()}


def render_html(context: ReportContext, style: ReportStyle | None = None) -> str:
    """Render a page; within the budget of `style` it needs no other file and no network."""
    return _fitted(context, style or ReportStyle()).content


def _fitted(context: ReportContext, style: ReportStyle) -> Page:
    def fill(medium: Medium, source: Address, beside: int) -> str:
        return fill_page(context, medium, style, source, beside=beside)

    return fit_page(fill, style.max_bytes)


def render_pdf(
    context: ReportContext,
    style: ReportStyle | None = None,
    attachments: Mapping[str, bytes] | None = None,
) -> bytes:
    """Render a document of pages, tagged for screen readers, with bookmarks.

    Parameters
    ----------
    context : ReportContext
        All that is said.
    style : ReportStyle, optional
        Paper, colours, audience.
    attachments : mapping of str to bytes, optional
        Files to carry along, by name.

    Raises
    ------
    ReportError
        WeasyPrint failed, or something on the page asked for what the page does not hold.
    """
    pictures: dict[str, Picture] = {}

    def source(picture: Picture) -> str:
        pictures[picture.asset_name] = picture
        return picture.asset_name

    with _pillow_as_it_was():
        from audit.report.pdf import print_pdf

    style, facts = style or ReportStyle(), context.facts
    fill = partial(fill_page, context, PRINT, style, source, attached=bool(attachments))
    made = facts.finished or facts.started
    printed = print_pdf(fill(), pictures, facts.fingerprint, attachments, made)
    if printed.missing:
        unprintable = _unprintable(context, printed.missing)
        _LOG.warning(
            "report.pdf: no font on this computer has %d of its characters (%s); the document "
            "names them and gives the numbers of %d classes. Install fonts for them, such as Noto "
            "(Debian: fonts-noto-core, fonts-noto-cjk, fonts-noto-color-emoji), and run "
            "`report` again.",
            len(unprintable.characters),
            ", ".join(unprintable.scripts[:8]),
            len(unprintable.labels),
        )
        page = fill(unprintable=unprintable)
        printed = print_pdf(page, pictures, facts.fingerprint, attachments, made)
    return printed.content


@contextmanager
def _pillow_as_it_was() -> Iterator[None]:
    """Undo that WeasyPrint, when imported, lets the whole process take partial pictures."""
    allowed = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = allowed


def _unprintable(context: ReportContext, missing: frozenset[str]) -> Unprintable:
    scripts = sorted({_script(character) for character in missing})
    findings = context.record.findings
    return Unprintable(
        characters=tuple(sorted(missing)),
        scripts=tuple(scripts),
        labels={f.label_name: f.label for f in findings if missing & set(f.label_name)},
    )


def _script(character: str) -> str:
    """The script of a character: the first word of its name, which is how Unicode names them."""
    if unicodedata.category(character) == "So":
        return "Emoji"
    name = unicodedata.name(character, "UNNAMED").split()[0]
    return name if len(name) <= 3 else name.capitalize()

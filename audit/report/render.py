"""HTML, and the PDF from the same context: one set of templates, two media."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

import report_templates
from audit.errors import ReportError
from audit.report import charts, story, wording
from audit.report.content import VERDICTS, ClassFinding, ReportContext
from audit.report.context import load_context
from audit.report.gallery import Picture
from audit.report.pdf import print_pdf
from audit.report.selection import PRINT, SCREEN, Medium, select
from audit.run_folder import write_bytes

FORMATS = ("html", "pdf")
VERDICT_WORDS = {
    # Word and shape carry the meaning; the colour only repeats it.
    "suspect": ("▲", "suspect"),
    "watch": ("◆", "watch"),
    "inconclusive": ("○", "inconclusive"),
    "clear": ("●", "clear"),
}
_OTHERS_DRAWN = 4000


def render_report(run_folder: Path, formats: Sequence[str]) -> dict[str, Path]:
    """Write ``report.html`` and ``report.pdf`` into a run folder.

    The HTML is written first and stays when the PDF fails. A PDF of an earlier state of the run
    is then removed, lest it be sent for the new one.

    Parameters
    ----------
    run_folder : Path
        Of a run that has come as far as its findings.
    formats : sequence of str
        Any of :data:`FORMATS`; none writes nothing.

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
    context = load_context(run_folder)
    written = {}
    if "html" in formats:
        written["html"] = run_folder / "report.html"
        write_bytes(written["html"], render_html(context).encode())
    if "pdf" in formats:
        target = run_folder / "report.pdf"
        try:
            write_bytes(target, render_pdf(context))
        except ReportError:
            target.unlink(missing_ok=True)
            raise
        written["pdf"] = target
    return written


def render_html(context: ReportContext) -> str:
    """Render a page that needs no other file and no network."""
    return _render(context, SCREEN, lambda picture: picture.data_uri)


def render_pdf(context: ReportContext) -> bytes:
    """Render an A4 document, tagged for screen readers, with bookmarks.

    Raises
    ------
    ReportError
        WeasyPrint failed, or something on the page asked for what the page does not hold.
    """
    pictures: dict[str, Picture] = {}

    def source(picture: Picture) -> str:
        pictures[picture.asset_name] = picture
        return picture.asset_name

    page = _render(context, PRINT, source)
    return print_pdf(page, pictures, context.provenance.fingerprint)


def _render(context: ReportContext, medium: Medium, source: Callable[[Picture], str]) -> str:
    environment = Environment(
        loader=report_templates.loader(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        share=wording.share,
        points=wording.points,
        number=wording.number,
        chance=wording.chance,
        duration=wording.duration,
        plural=wording.plural,
        shorten=wording.shorten,
        sort_key=wording.sort_key,
        listing=wording.listing,
        interval=story.with_interval,
    )
    template = environment.get_template("report.html.j2")
    script = report_templates.text_of("report.js")
    return template.render(
        report=context,
        shown=select(context, medium),
        story=story,
        charts=charts,
        gap_chart=partial(_gap_chart, context, _span(context)),
        mass_chart=partial(_mass_chart, context),
        verdict_words=VERDICT_WORDS,
        verdict_order={verdict: place for place, verdict in enumerate(VERDICTS)},
        source=source,
        # Our own files, no part of which comes from a user.
        stylesheet=Markup(report_templates.text_of("report.css")),  # noqa: S704
        page_rules=Markup(report_templates.text_of("print.css")),  # noqa: S704
        script=Markup(script),  # noqa: S704
        script_hash=_source_hash(script),
    )


def _source_hash(script: str) -> str:
    """The one script that the page's policy lets run, by its hash."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _span(context: ReportContext) -> tuple[float, float]:
    """One scale for all gaps, so that rows can be compared by eye."""
    ends = [
        end
        for finding in context.findings
        for end in (finding.gap.value, finding.gap.low, finding.gap.high)
        if end is not None
    ]
    top = max([2 * context.thresholds.effect, *ends])
    return min([-0.1, *ends]), min(1.0, top)


def _gap_chart(context: ReportContext, span: tuple[float, float], finding: ClassFinding) -> Markup:
    return charts.interval_chart(
        finding.gap,
        span=span,
        floor=context.thresholds.effect,
        verdict=finding.verdict,
        title=charts.gap_title(wording.shorten(finding.name), finding.gap, context.thresholds),
    )


def _mass_chart(context: ReportContext, finding: ClassFinding) -> dict[str, Any]:
    others = [
        mass for other in context.findings if other.label != finding.label for mass in other.masses
    ]
    others = others[:: 1 + len(others) // _OTHERS_DRAWN]
    return {
        "chart": charts.mass_chart(
            finding.masses,
            others,
            finding.area.value,
            wording.shorten(finding.name),
            finding.verdict,
        ),
        "line": story.median_line(finding.masses, others),
    }

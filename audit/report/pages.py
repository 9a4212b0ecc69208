"""The templates, filled: one page of HTML for one medium, in a sandbox."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

import report_templates
from audit.errors import ReportError
from audit.report import charts, formatting, i18n
from audit.report.content import VERDICTS, ClassFinding, ReportContext
from audit.report.formatting import discreet
from audit.report.page_limits import Medium, select
from audit.report.pictures import Picture
from audit.report.sentences import story
from audit.report.style import ReportStyle

VERDICT_WORDS = {
    # Word and shape carry the meaning; the colour only repeats it.
    "suspect": ("▲", "suspect"),
    "watch": ("◆", "watch"),
    "inconclusive": ("○", "inconclusive"),
    "clear": ("●", "clear"),
}
_OTHERS_DRAWN = 4000


def fill_page(
    context: ReportContext,
    medium: Medium,
    style: ReportStyle,
    source: Callable[[Picture], str],
    *,
    beside: int = 0,
    attached: bool = False,
) -> str:
    """Fill the templates.

    Parameters
    ----------
    context : ReportContext
        All that is said.
    medium : Medium
        What fits.
    style : ReportStyle
        How it is dressed; the user's own templates run in a sandbox, too.
    source : callable
        Gives the address of a picture.
    beside : int
        Pictures that lie beside the page, as files.
    attached : bool
        Whether the table of all classes is attached to the document.

    Raises
    ------
    ReportError
        A template asks for what there is not.
    """
    environment = _environment(style)
    script = report_templates.text_of("report.js")
    try:
        return environment.get_template("report.html.j2").render(
            report=context,
            shown=select(context, medium.brief() if style.brief else medium),
            style=style,
            language=i18n.speaking(),
            beside=beside,
            attached=attached,
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
    except TemplateError as error:
        raise ReportError(
            f"report.templates: a template cannot be filled "
            f"({type(error).__name__}: {discreet(error, 200)})"
        ) from error


def _environment(style: ReportStyle) -> ImmutableSandboxedEnvironment:
    ours = report_templates.loader()
    own = [FileSystemLoader(style.templates)] if style.templates else []
    environment = ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([*own, ours]),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Messages are ours; what is filled in is escaped as everywhere.
    environment.install_gettext_callables(  # type: ignore[attr-defined]  # of the extension
        i18n.message, _no_ngettext, newstyle=True
    )
    environment.filters.update(
        share=formatting.share,
        points=formatting.points,
        number=formatting.number,
        chance=formatting.chance,
        duration=formatting.duration,
        plural=i18n.counted,
        whole=i18n.whole,
        recorded=i18n.recorded,
        known=i18n.known,
        shorten=formatting.shorten,
        sort_key=formatting.sort_key,
        listing=formatting.listing,
        interval=story.with_interval,
    )
    return environment


def _no_ngettext(one: str, many: str, count: int) -> str:
    return i18n.message(one if count == 1 else many)


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
        title=charts.gap_title(formatting.shorten(finding.name), finding.gap, context.thresholds),
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
            formatting.shorten(finding.name),
            finding.verdict,
        ),
        "line": story.median_line(finding.masses, others),
    }

"""The templates, filled: one page of HTML for one medium, in a sandbox."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jinja2 import TemplateError
from markupsafe import Markup

import report_templates
from audit.errors import ReportError
from audit.findings import ClassFinding, Findings
from audit.report import charts, i18n, matrix, untrusted
from audit.report.context import ReportContext, thumbnails_of
from audit.report.page_limits import (
    CHANGED,
    CLUSTERS,
    CROPS,
    DONORS,
    REPAIRED,
    Medium,
    anchor,
    select,
)
from audit.report.pictures import Picture
from audit.report.sandbox import SENTENCES, sandbox
from audit.report.sentences import evidence, names
from audit.report.sparklines import sparkline
from audit.report.style import ReportStyle

_OTHERS_DRAWN = 4000
_LIMITS = {
    "clusters": CLUSTERS,
    "crops": CROPS,
    "donors": DONORS,
    "changed": CHANGED,
    "repaired": REPAIRED,
}


@dataclass(frozen=True)
class Unprintable:
    """What no font of this computer has, for paper: characters, their scripts, and the names.

    Parameters
    ----------
    characters : tuple of str
        Sorted.
    scripts : tuple of str
        As Unicode names them.
    labels : mapping of str to int
        Of the classes whose names hold such a character.
    """

    characters: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)


def fill_page(
    context: ReportContext,
    medium: Medium,
    style: ReportStyle,
    source: Callable[[Picture], str],
    *,
    beside: int = 0,
    attached: bool = False,
    unprintable: Unprintable | None = None,
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
    unprintable : Unprintable, optional
        What paper cannot show.

    Raises
    ------
    ReportError
        A template asks for what there is not.
    """
    record = context.record
    try:
        return (
            sandbox(style)
            .get_template("report.html.j2")
            .render(
                **_drawn(record),
                **_own_files(),
                report=record,
                repair=context.repair,
                run=context.facts,
                title=context.title,
                problems=context.problems,
                pictures=context.pictures,
                thumbnails=context.thumbnails,
                legend=context.legend,
                matrix=matrix.matrix_rows(record.swap_matrix),
                verdicts=[(verdict, record.summary.count(verdict)) for verdict in names.VERDICTS],
                limits=_LIMITS,
                shown=select(record, medium.brief() if style.brief else medium),
                style=style,
                language=i18n.speaking().code,
                beside=beside,
                attached=attached,
                unprintable=unprintable or Unprintable(),
                sentences=SENTENCES,
                anchor=anchor,
                thumbnails_of=thumbnails_of,
                shade=matrix.shade,
                source=source,
            )
        )
    except TemplateError as error:
        raise ReportError(
            f"report.templates: a template cannot be filled "
            f"({type(error).__name__}: {untrusted.discreet(error, 200)})"
        ) from error


def _own_files() -> dict[str, object]:
    """Style and script: our own files, no part of which comes from a user."""
    script = report_templates.text_of("report.js")
    return {
        "stylesheet": Markup(report_templates.text_of("report.css")),  # noqa: S704
        "page_rules": Markup(report_templates.text_of("print.css")),  # noqa: S704
        "script": Markup(script),  # noqa: S704
        "script_hash": _source_hash(script),
    }


def _drawn(record: Findings) -> dict[str, object]:
    """The charts, or what draws them."""
    return {
        "gap_chart": _gap_charts(record),
        "mass_chart": _mass_charts(record),
        "trend_charts": _trend_charts(record),
        "verdict_bar": charts.verdict_bar,
        "indicator_chart": charts.indicator_chart,
    }


def _source_hash(script: str) -> str:
    """The one script that the page's policy lets run, by its hash."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _gap_charts(record: Findings) -> Callable[[ClassFinding], Markup]:
    """Draws all gaps on one scale, so that rows can be compared by eye."""
    gaps = [finding.estimate("background_gap") for finding in record.findings]
    ends = [end for gap in gaps for end in (gap.value, gap.low, gap.high) if end is not None]
    top = max([2 * record.thresholds.effect, *ends])
    span = (min([-0.1, *ends]), min(1.0, top))

    def draw(finding: ClassFinding) -> Markup:
        gap = finding.estimate("background_gap")
        name = untrusted.shorten(finding.label_name)
        return charts.interval_chart(
            gap,
            span=span,
            floor=record.thresholds.effect,
            verdict=finding.verdict,
            title=charts.gap_title(name, gap, record.thresholds),
        )

    return draw


def _trend_charts(record: Findings) -> Mapping[str, Markup]:
    """The gap of each class over the runs, by its name, all on one scale."""
    drawn = [trend for trend in record.trends if len(trend.points) > 1]
    ends = [p.gap.high or p.gap.value or 0.0 for trend in drawn for p in trend.points]
    top = min(1.0, max([2 * record.thresholds.effect, *ends]))
    return {
        trend.label_name: sparkline(trend, top=top, floor=record.thresholds.effect)
        for trend in drawn
    }


def _mass_charts(record: Findings) -> Callable[[ClassFinding], dict[str, object]]:
    def draw(finding: ClassFinding) -> dict[str, object]:
        others = [m for f in record.findings if f.label != finding.label for m in f.masses]
        others = others[:: 1 + len(others) // _OTHERS_DRAWN]
        name = untrusted.shorten(finding.label_name)
        area, verdict = finding.foreground_area, finding.verdict
        return {
            "chart": charts.mass_chart(finding.masses, others, area, name, verdict),
            "line": evidence.median_line(finding.masses, others),
        }

    return draw

"""The templates, filled: one page of HTML for one medium, in a sandbox."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import getmembers, isfunction
from pathlib import PurePath
from types import ModuleType
from typing import Any

from jinja2 import ChoiceLoader, DictLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

import report_templates
from audit.errors import ReportError
from audit.findings import ClassFinding, Findings
from audit.findings.values import Record
from audit.report import charts, formatting, i18n, matrix, untrusted
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
from audit.report.sentences import (
    certainty,
    controls,
    evidence,
    history,
    maps,
    names,
    notes,
    page_one,
    problems,
    repairs,
    say,
)
from audit.report.sparklines import sparkline
from audit.report.style import ReportStyle

_OTHERS_DRAWN = 4000


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
    script = report_templates.text_of("report.js")
    record = context.record
    try:
        return (
            _environment(style)
            .get_template("report.html.j2")
            .render(
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
                limits={
                    "clusters": CLUSTERS,
                    "crops": CROPS,
                    "donors": DONORS,
                    "changed": CHANGED,
                    "repaired": REPAIRED,
                },
                shown=select(record, medium.brief() if style.brief else medium),
                style=style,
                language=i18n.speaking().code,
                beside=beside,
                attached=attached,
                unprintable=unprintable or Unprintable(),
                sentences=_SENTENCES,
                gap_chart=_gap_charts(record),
                mass_chart=_mass_charts(record),
                trend_charts=_trend_charts(record),
                verdict_bar=charts.verdict_bar,
                indicator_chart=charts.indicator_chart,
                anchor=anchor,
                thumbnails_of=thumbnails_of,
                shade=matrix.shade,
                source=source,
                # Our own files, no part of which comes from a user.
                stylesheet=Markup(report_templates.text_of("report.css")),  # noqa: S704
                page_rules=Markup(report_templates.text_of("print.css")),  # noqa: S704
                script=Markup(script),  # noqa: S704
                script_hash=_source_hash(script),
            )
        )
    except TemplateError as error:
        raise ReportError(
            f"report.templates: a template cannot be filled "
            f"({type(error).__name__}: {untrusted.discreet(error, 200)})"
        ) from error


_MODULES = (certainty, controls, evidence, history, maps, names, notes, page_one, problems, repairs)
_SENTENCES: Mapping[str, Callable[..., Any]] = {
    name: function
    for module in _MODULES
    for name, function in getmembers(module, isfunction)
    if function.__module__ == module.__name__ and not name.startswith("_")
}
"""The functions alone: a module would hand its imports to a template."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """What a template may reach: of a record only what the record declares, and no file."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(value, (PurePath, ModuleType)):
            return False
        if isinstance(obj, Record):
            # Its base class reads files and, if asked, pickles.
            return attr in _declared(type(obj))
        return bool(super().is_safe_attribute(obj, attr, value))


def _declared(kind: type[Record]) -> set[str]:
    own = [held for held in kind.__mro__ if issubclass(held, Record) and held is not Record]
    named = {name for held in own for name in vars(held) if not name.startswith(("_", "model_"))}
    return named | set(kind.model_fields)


def _environment(style: ReportStyle) -> ImmutableSandboxedEnvironment:
    environment = _Sandbox(
        loader=ChoiceLoader([DictLoader(style.templates), report_templates.loader()]),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Messages are ours; what is filled in is escaped as everywhere.
    environment.install_gettext_callables(  # type: ignore[attr-defined]  # of the extension
        i18n.looked_up, i18n.looked_up_plural, newstyle=True
    )
    environment.filters.update(
        say=say,
        share=formatting.share,
        points=formatting.points,
        number=formatting.number,
        chance=formatting.chance,
        duration=formatting.duration,
        day=formatting.day,
        day_and_time=formatting.day_and_time,
        whole=i18n.whole,
        shorten=untrusted.shorten,
        longest_word=untrusted.longest_word,
        sort_key=formatting.sort_key,
        listing=formatting.listing,
        interval=formatting.with_interval,
    )
    return environment


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

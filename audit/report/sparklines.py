"""The gap of a class over the runs, as a small line with its intervals."""

from __future__ import annotations

from markupsafe import Markup, escape

from audit.findings import Trend, TrendPoint
from audit.report.charts import COLOURS
from audit.report.formatting import points
from audit.report.i18n import gettext
from audit.report.untrusted import shorten

WIDTH, HEIGHT = 132, 30
_QUIET = "#565d67"


def sparkline(trend: Trend, *, top: float, floor: float) -> Markup:
    """Draw the gap of a class over the runs, the latest at the right.

    Parameters
    ----------
    trend : Trend
        Two points or more.
    top : float
        What the upper end stands for; 0 is at the lower.
    floor : float
        Drawn as a dashed rule: from where an effect counts.
    """
    step = (WIDTH - 12) / max(1, len(trend.points) - 1)

    def y(value: float) -> float:
        return round(HEIGHT - 6 - (HEIGHT - 10) * min(max(value, 0.0), top) / top, 1)

    marks = [
        Markup(
            '<line class="c-quiet-s" x1="2" x2="{}" y1="{}" y2="{}" stroke="{}" '
            'stroke-dasharray="2 2"/>'
        ).format(WIDTH - 2, y(floor), y(floor), _QUIET)
    ]
    path = []
    for position, point in enumerate(trend.points):
        x = round(6 + position * step, 1)
        if point.gap.value is None:
            continue
        path.append(f"{x},{y(point.gap.value)}")
        marks += _point(
            point, x, y(point.gap.value), (y(point.gap.low or 0), y(point.gap.high or 0))
        )
    line = Markup('<polyline class="c-quiet-s" points="{}" fill="none" stroke="{}"/>').format(
        " ".join(path), _QUIET
    )
    return Markup(
        '<svg class="chart" xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {} {}" '
        'width="{}" height="{}"><title>{}</title>{}</svg>'
    ).format(WIDTH, HEIGHT, WIDTH, HEIGHT, escape(_title(trend)), Markup("").join([line, *marks]))


def _point(point: TrendPoint, x: float, y: float, ends: tuple[float, float]) -> list[Markup]:
    colour, kind = COLOURS[point.verdict], f"c-{point.verdict}"
    marks = []
    if point.gap.low is not None and point.gap.high is not None:
        marks.append(
            Markup('<line class="{}-s" x1="{}" x2="{}" y1="{}" y2="{}" stroke="{}"/>').format(
                kind, x, x, *ends, colour
            )
        )
    marks.append(
        Markup('<circle class="{}-f" cx="{}" cy="{}" r="2.2" fill="{}"/>').format(
            kind, x, y, colour
        )
    )
    if point.model_changed:
        marks.append(
            Markup(
                '<circle class="c-quiet-s" cx="{}" cy="{}" r="4" fill="none" stroke="{}"/>'
            ).format(x, y, _QUIET)
        )
    if point.images_changed:
        marks.append(
            Markup('<line class="c-quiet-s" x1="{}" x2="{}" y1="{}" y2="{}" stroke="{}"/>').format(
                x, x, HEIGHT - 4, HEIGHT, _QUIET
            )
        )
    return marks


def _title(trend: Trend) -> str:
    """The line in words, for those who cannot see it."""
    return gettext(
        "%(name)s: gap of %(gaps)s points, the latest last",
        name=shorten(trend.label_name),
        gaps=", ".join(points(point.gap.value) for point in trend.points),
    )

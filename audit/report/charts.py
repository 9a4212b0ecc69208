"""Charts as inline SVG, made by hand: a few lines and marks need no plotting library.

A library would bring its own fonts, sizes and scripts; these stay a few hundred bytes each, take
the page's colours, and are drawn alike by browsers and by the PDF. Every foreign text is escaped.
The colours are those of Okabe and Ito, apart for colour-blind readers; no meaning hangs on them
alone. Attributes hold the colours for print; the classes let the stylesheet change them on screen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from markupsafe import Markup, escape

from audit.findings import Estimate, Indicator, Thresholds, Unit, Verdict
from audit.report.formatting import number, points, share, with_interval
from audit.report.i18n import gettext, ngettext, whole
from audit.report.sentences.names import indicator_name, verdict_word

COLOURS: dict[Verdict, str] = {
    Verdict.SUSPECT: "#c04a00",
    Verdict.WATCH: "#a35d8a",
    Verdict.INCONCLUSIVE: "#737b87",
    Verdict.CLEAR: "#0072b2",
}
_QUIET, _LINE = "#5b626c", "#9aa1ab"


def interval_chart(
    estimate: Estimate,
    *,
    span: tuple[float, float],
    floor: float | None,
    verdict: Verdict,
    title: str,
    size: tuple[int, int] = (150, 18),
    labelled: bool = False,
) -> Markup:
    """Draw an estimate as a dot, its interval as a line, 0 as a rule and the floor as a dashed one.

    Parameters
    ----------
    estimate : Estimate
        Without a value only the rules are drawn.
    span : (float, float)
        What the left and the right end stand for; what lies beyond is drawn at the end.
    floor : float, optional
        From where an effect counts.
    verdict : Verdict
        Chooses the colour.
    title : str
        The chart in words, for those who cannot see it.
    size : (int, int)
        Width and height in pixels.
    labelled : bool
        Whether the ends of the scale and its 0 are written below.
    """
    width, height = size
    bottom = height - 12 if labelled else height
    middle = bottom / 2

    def x(value: float) -> float:
        share_of_span = (value - span[0]) / (span[1] - span[0])
        return round(4 + (width - 8) * min(max(share_of_span, 0.0), 1.0), 1)

    marks = [_rule(x(0.0), 1, bottom - 1)] if span[0] <= 0 <= span[1] else []
    if floor is not None:
        marks.append(_rule(x(floor), 1, bottom - 1, dashed=True))
    colour, kind = COLOURS[verdict], f"c-{verdict}"
    if estimate.low is not None and estimate.high is not None:
        marks.append(
            Markup(
                '<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}" stroke="{}" stroke-width="3"/>'
            ).format(f"{kind}-s", x(estimate.low), x(estimate.high), middle, middle, colour)
        )
    if estimate.value is not None:
        marks.append(
            Markup('<circle class="{}" cx="{}" cy="{}" r="4" fill="{}"/>').format(
                f"{kind}-f", x(estimate.value), middle, colour
            )
        )
    if labelled:
        marks.append(_text(x(0.0), height - 2, "0", 9, "middle"))
        marks.append(_text(x(span[1]), height - 2, _end(span[1]), 9, "end"))
        # A low end close to 0 would run into the 0.
        if x(0.0) - x(span[0]) > 40:
            marks.append(_text(x(span[0]), height - 2, _end(span[0]), 9, "start"))
    return _svg(width, height, title, marks, "chart c-interval")


def _end(value: float) -> str:
    return whole(int(value)) if value == int(value) else number(value)


_SPANS = {Unit.LOG_ODDS: (-4.0, 4.0)}
_RATE_SPAN = (-0.25, 1.0)


def indicator_chart(indicator: Indicator, verdict: Verdict) -> Markup:
    """Draw what an indicator found; the ends of the scale are written below it."""
    span = _SPANS.get(indicator.unit, _RATE_SPAN)
    held = indicator.estimate
    title = gettext(
        "%(indicator)s: %(value)s, interval %(low)s to %(high)s",
        indicator=indicator_name(indicator.name),
        value=number(held.value),
        low=number(held.low),
        high=number(held.high),
    )
    return interval_chart(
        held, span=span, floor=None, verdict=verdict, title=title, labelled=True, size=(150, 30)
    )


def verdict_bar(by_verdict: Sequence[tuple[Verdict, int]], width: int = 640) -> Markup:
    """Draw how many classes have which verdict as one bar of proportional pieces."""
    total = sum(count for _, count in by_verdict)
    words = ", ".join(
        f"{ngettext('%(num)s class', '%(num)s classes', count)} {verdict_word(name)}"
        for name, count in by_verdict
    )
    marks, left = [], 0.0
    for name, count in by_verdict:
        if not count:
            continue
        piece = width * count / total
        marks.append(
            Markup(
                '<rect class="{}" x="{}" y="0" width="{}" height="16" fill="{}"/>'
                '<text x="{}" y="12.5" font-size="11" font-weight="bold" fill="#ffffff" '
                'text-anchor="middle">{}</text>'
            ).format(
                f"c-{name}-f",
                round(left, 1),
                round(max(piece - 2, 1), 1),
                COLOURS[name],
                round(left + piece / 2 - 1, 1),
                count if piece > 24 else "",
            )
        )
        left += piece
    return _svg(width, 16, gettext("Verdicts: %(words)s.", words=words), marks)


def mass_chart(
    own: Sequence[float], others: Sequence[float], area: float | None, name: str, verdict: Verdict
) -> Markup:
    """Draw how much saliency lies on the object, image by image: this class before all others.

    Parameters
    ----------
    own, others : sequence of float
        Foreground masses, 0..1.
    area : float, optional
        Mean foreground area of the class: what a map without any preference would score.
    name, verdict : str, Verdict
        Of the class.
    """
    left, right, top, bottom, bins = 44, 500, 26, 150, 20
    mine, rest = _histogram(own, bins), _histogram(others, bins)
    peak = max([*mine, *rest, 0.05])

    def x(value: float) -> float:
        return round(left + (right - left) * value, 1)

    def y(value: float) -> float:
        return round(bottom - (bottom - top) * value / peak, 1)

    marks = [_grid(left, right, y, peak), _mass_axis(x, bottom)]
    marks += [
        Markup(
            '<rect class="c-rest-f" x="{}" y="{}" width="{}" height="{}" fill="#c9cdd3"/>'
        ).format(
            x(i / bins), y(held), round((right - left) / bins - 1, 1), round(bottom - y(held), 1)
        )
        for i, held in enumerate(rest)
        if held
    ]
    if own:
        steps = " ".join(
            f"{x(i / bins)},{y(held)} {x((i + 1) / bins)},{y(held)}" for i, held in enumerate(mine)
        )
        marks.append(
            Markup(
                '<polyline class="{}" points="{},{} {} {},{}" fill="none" stroke="{}" '
                'stroke-width="2"/>'
            ).format(f"c-{verdict}-s", x(0), bottom, steps, x(1), bottom, COLOURS[verdict])
        )
    if area is not None:
        marks.append(_rule(x(area), top - 4, bottom, dashed=True))
        anchor = "start" if area < 0.7 else "end"
        marks.append(
            _text(
                x(area) + (4 if area < 0.7 else -4),
                top - 8,
                gettext("area of the object"),
                10,
                anchor,
            )
        )
    middles = [share(median(held) if held else None) for held in (own, others)]
    title = gettext(
        "Share of saliency on the object: %(images)s of %(name)s (line), median %(own)s; other "
        "classes (bars), median %(others)s.",
        images=ngettext("%(num)s image", "%(num)s images", len(own)),
        name=name,
        own=middles[0],
        others=middles[1],
    )
    return _svg(520, 190, title, marks)


def gap_title(name: str, estimate: Estimate, thresholds: Thresholds) -> str:
    """Say in words what the chart of a background gap shows."""
    if estimate.value is None:
        return gettext("Background gap of %(name)s: not measured", name=name)
    return gettext(
        "Background gap of %(name)s: %(gap)s; floor %(floor)s",
        name=name,
        gap=with_interval(estimate),
        floor=points(thresholds.effect),
    )


def _histogram(values: Sequence[float], bins: int) -> list[float]:
    """Shares of the values in equal bins of 0..1."""
    counts = [0] * bins
    for value in values:
        counts[min(max(int(value * bins), 0), bins - 1)] += 1
    return [count / max(len(values), 1) for count in counts]


def _grid(left: int, right: int, y: Callable[[float], float], peak: float) -> Markup:
    step = 0.1 if peak <= 0.5 else 0.25
    lines = []
    for i in range(int(peak / step) + 1):
        height = y(i * step)
        lines.append(
            Markup(
                '<line class="c-line-s" x1="{}" x2="{}" y1="{}" y2="{}" stroke="#d5d9df" '
                'stroke-width="0.7"/>'
            ).format(left, right, height, height)
        )
        lines.append(_text(left - 5, height + 3.5, share(i * step), 10, "end"))
    lines.append(_text(2, 10, gettext("share of images"), 10, "start"))
    return Markup("").join(lines)


def _mass_axis(x: Callable[[float], float], bottom: int) -> Markup:
    labels = [_text(x(i / 4), bottom + 14, share(i / 4), 10, "middle") for i in range(5)]
    labels.append(
        _text(x(0.5), bottom + 31, gettext("share of saliency on the object"), 10, "middle")
    )
    return Markup("").join(labels)


def _rule(x: float, top: float, bottom: float, dashed: bool = False) -> Markup:
    return Markup(
        '<line class="c-rule-s" x1="{}" x2="{}" y1="{}" y2="{}" stroke="{}" stroke-width="1"{}/>'
    ).format(x, x, top, bottom, _LINE, Markup(' stroke-dasharray="2 2"') if dashed else "")


def _text(x: float, y: float, words: str, size: int, anchor: str) -> Markup:
    return Markup(
        '<text class="c-quiet-f" x="{}" y="{}" font-size="{}" fill="{}" text-anchor="{}">{}</text>'
    ).format(round(x, 1), round(y, 1), size, _QUIET, anchor, words)


def _svg(
    width: int, height: int, title: str, marks: Sequence[Markup], kind: str = "chart"
) -> Markup:
    return Markup(
        '<svg class="{}" xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {} {}" '
        'width="{}" height="{}" font-family="sans-serif"><title>{}</title>{}</svg>'
    ).format(kind, width, height, width, height, escape(title), Markup("").join(marks))

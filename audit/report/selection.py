"""What fits into one medium, and what is left out: said, never silently dropped."""

from __future__ import annotations

from dataclasses import dataclass

from audit.report.content import INCONCLUSIVE, SUSPECT, WATCH, ClassFinding, ReportContext
from audit.report.context import CARDS, SPREADS


@dataclass(frozen=True)
class Medium:
    """Limits of one form of the report.

    Parameters
    ----------
    name : str
        ``screen`` or ``print``.
    ranked_rows, appendix_rows, thumbnails : int
        At most so many classes in the ranked table, the appendix and the contact sheet.
    """

    name: str
    ranked_rows: int
    appendix_rows: int
    thumbnails: int


# A row costs WeasyPrint 3 ms and 60 kB, so paper ends early; the CSV holds every class.
SCREEN = Medium("screen", ranked_rows=1000, appendix_rows=1000, thumbnails=1000)
PRINT = Medium("print", ranked_rows=60, appendix_rows=200, thumbnails=200)


@dataclass(frozen=True)
class Selection:
    """The classes of each part of the report, in one medium."""

    medium: Medium
    spreads: tuple[ClassFinding, ...]
    spreads_left_out: int
    watch: tuple[ClassFinding, ...]
    watch_left_out: int
    inconclusive: tuple[ClassFinding, ...]
    inconclusive_left_out: int
    ranked: tuple[ClassFinding, ...]
    appendix: tuple[ClassFinding, ...]
    thumbnails: tuple[ClassFinding, ...]
    thumbnails_left_out: int
    anchors_in_sections: frozenset[str]
    anchors_in_ranked: frozenset[str]
    anchors: frozenset[str]


def select(report: ReportContext, medium: Medium) -> Selection:
    """Choose what a medium shows.

    Parameters
    ----------
    report : ReportContext
        Everything.
    medium : Medium
        :data:`SCREEN` or :data:`PRINT`.
    """
    suspects, watched = report.with_verdict(SUSPECT), report.with_verdict(WATCH)
    unclear = report.with_verdict(INCONCLUSIVE)
    with_picture = tuple(f for f in report.findings if f.thumbnail is not None)
    by_label = tuple(sorted(report.findings, key=lambda finding: finding.label))
    sections = [*suspects[:SPREADS], *watched[:CARDS], *unclear[:CARDS]]
    in_sections = frozenset(f.anchor for f in sections)
    ranked = report.findings[: medium.ranked_rows]
    in_ranked = frozenset(f.anchor for f in ranked) - in_sections
    appendix = by_label[: medium.appendix_rows]
    return Selection(
        medium=medium,
        spreads=suspects[:SPREADS],
        spreads_left_out=len(suspects[SPREADS:]),
        watch=watched[:CARDS],
        watch_left_out=len(watched[CARDS:]),
        inconclusive=unclear[:CARDS],
        inconclusive_left_out=len(unclear[CARDS:]),
        ranked=ranked,
        appendix=appendix,
        thumbnails=with_picture[: medium.thumbnails],
        thumbnails_left_out=len(with_picture[medium.thumbnails :]),
        anchors_in_sections=in_sections,
        anchors_in_ranked=in_ranked,
        anchors=in_sections | in_ranked | frozenset(f.anchor for f in appendix),
    )

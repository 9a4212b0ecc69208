"""What fits into one medium, and what is left out: said, never silently dropped."""

from __future__ import annotations

from dataclasses import dataclass, replace

from audit.report.content import INCONCLUSIVE, SUSPECT, WATCH, ClassFinding, ReportContext
from audit.report.context import CARDS, SPREADS
from audit.report.evidence import EXHIBITS


@dataclass(frozen=True)
class Medium:
    """Limits of one form of the report.

    Parameters
    ----------
    name : str
        ``screen`` or ``print``.
    ranked_rows, appendix_rows, thumbnails : int
        At most so many classes in the ranked table, the appendix and the contact sheet.
    spreads, cards : int
        At most so many suspect classes with pages of their own, and watch and inconclusive
        classes, each, with a card.
    exhibits : int
        At most so many in a spread.
    """

    name: str
    ranked_rows: int
    appendix_rows: int
    thumbnails: int
    spreads: int = SPREADS
    cards: int = CARDS
    exhibits: int = EXHIBITS

    def brief(self) -> Medium:
        """For those who decide: fewer exhibits, and no table of all numbers."""
        return replace(self, appendix_rows=0, exhibits=2)

    def smaller(self) -> Medium | None:
        """Half the rows of the longest table; None where that saves nothing more."""
        rows = max(self.ranked_rows, self.appendix_rows)
        if rows <= _FEW:
            return None
        if self.appendix_rows == rows:
            return replace(self, appendix_rows=rows // 2)
        return replace(self, ranked_rows=rows // 2, thumbnails=min(self.thumbnails, rows // 2))


_FEW = 20
# A page costs WeasyPrint 0.3 s of CPU and 3 MB of memory, so paper ends early: these keep a
# thousand classes below 30 s. The CSV, attached to the PDF, holds every class.
SCREEN = Medium("screen", ranked_rows=1000, appendix_rows=1000, thumbnails=1000)
PRINT = Medium("print", ranked_rows=60, appendix_rows=80, thumbnails=80, spreads=15, cards=15)


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
    exhibits: int
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
    spreads, cards = min(medium.spreads, SPREADS), min(medium.cards, CARDS)
    sections = [*suspects[:spreads], *watched[:cards], *unclear[:cards]]
    in_sections = frozenset(f.anchor for f in sections)
    ranked = report.findings[: medium.ranked_rows]
    in_ranked = frozenset(f.anchor for f in ranked) - in_sections
    appendix = by_label[: medium.appendix_rows]
    return Selection(
        medium=medium,
        spreads=suspects[:spreads],
        spreads_left_out=len(suspects[spreads:]),
        watch=watched[:cards],
        watch_left_out=len(watched[cards:]),
        inconclusive=unclear[:cards],
        inconclusive_left_out=len(unclear[cards:]),
        ranked=ranked,
        appendix=appendix,
        thumbnails=with_picture[: medium.thumbnails],
        thumbnails_left_out=len(with_picture[medium.thumbnails :]),
        exhibits=medium.exhibits,
        anchors_in_sections=in_sections,
        anchors_in_ranked=in_ranked,
        anchors=in_sections | in_ranked | frozenset(f.anchor for f in appendix),
    )

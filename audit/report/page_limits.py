"""What fits into one medium and into its budget of bytes; what does not is said, never dropped.

Pictures go into the page in the order in which a reader meets them; the rest become files that a
browser loads only when they come into view. Where the words alone are too many, tables end early.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from audit.findings import ClassFinding, Findings, Verdict
from audit.report.pictures import Picture
from audit.run_folder import file_slug

FOLDER = "report_files"

SPREADS = 40
"""Suspect classes that get their own page; the others are in the tables."""
CARDS = 40
"""Watch and inconclusive classes, each, that get a card with pictures."""
EXHIBITS, CLUSTERS, CROPS, DONORS = 6, 4, 6, 6
"""Most pictures of one class, of each kind; crops are counted in each cluster."""
CHANGED, REPAIRED = 12, 60
"""Most pictures of swaps that a repair changed, and most classes in its table."""


def shown_in_full(record: Findings) -> tuple[ClassFinding, ...]:
    """The classes all of whose pictures are shown somewhere."""
    return record.with_verdict(Verdict.SUSPECT)[:SPREADS]


def shown_in_part(record: Findings) -> tuple[ClassFinding, ...]:
    """The classes of which a picture or two is shown somewhere."""
    watched = record.with_verdict(Verdict.WATCH)[:CARDS]
    return (*watched, *record.with_verdict(Verdict.INCONCLUSIVE)[:CARDS])


def anchor(finding: ClassFinding) -> str:
    """The place of a class on the page: only characters of ours, since it goes into addresses."""
    return f"class-{finding.label:04d}-{file_slug(finding.label_name)}"


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


def select(report: Findings, medium: Medium) -> Selection:
    """Choose what a medium shows.

    Parameters
    ----------
    report : Findings
        Everything.
    medium : Medium
        :data:`SCREEN` or :data:`PRINT`.
    """
    suspects, watched = report.with_verdict(Verdict.SUSPECT), report.with_verdict(Verdict.WATCH)
    unclear = report.with_verdict(Verdict.INCONCLUSIVE)
    with_picture = tuple(f for f in report.findings if f.cmv)
    by_label = tuple(sorted(report.findings, key=lambda finding: finding.label))
    spreads, cards = min(medium.spreads, SPREADS), min(medium.cards, CARDS)
    sections = [*suspects[:spreads], *watched[:cards], *unclear[:cards]]
    in_sections = frozenset(anchor(f) for f in sections)
    ranked = report.findings[: medium.ranked_rows]
    in_ranked = frozenset(anchor(f) for f in ranked) - in_sections
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
        anchors=in_sections | in_ranked | frozenset(anchor(f) for f in appendix),
    )


@dataclass(frozen=True)
class Page:
    """``report.html``, and the pictures that lie beside it by their names."""

    content: str = field(repr=False)
    beside: dict[str, Picture] = field(default_factory=dict, repr=False)


Address = Callable[[Picture], str]
Fill = Callable[[Medium, Address, int], str]
"""Fills the page for a medium, with the address of each picture and how many lie beside it."""


def fit_page(fill: Fill, max_bytes: int, medium: Medium = SCREEN) -> Page:
    """Fill the page for the screen within `max_bytes`.

    Parameters
    ----------
    fill : callable
        From :mod:`audit.report.pages`.
    max_bytes : int
        The budget.
    medium : Medium
        Where to begin; smaller ones follow until the words fit.
    """
    pictures: dict[str, Picture] = {}
    uses: Counter[str] = Counter()

    def name(picture: Picture) -> str:
        address = _address(picture)
        pictures[address] = picture
        uses[address] += 1
        return address

    words = fill(medium, name, 0)
    room = max_bytes - len(words.encode()) - _NOTE
    smaller = medium.smaller()
    if room < 0 and smaller is not None:
        return fit_page(fill, max_bytes, smaller)
    inside = _inside(pictures, uses, room)
    beside = {address: image for address, image in pictures.items() if address not in inside}

    def source(picture: Picture) -> str:
        address = _address(picture)
        return picture.data_uri if address in inside else address

    return Page(fill(medium, source, len(beside)), beside)


_NOTE = 2000
"""Bytes kept for the sentence about what lies beside the page."""


def _inside(pictures: dict[str, Picture], uses: Counter[str], room: int) -> set[str]:
    """The first pictures that fit; a later, smaller one does not overtake them."""
    inside: set[str] = set()
    for address, picture in pictures.items():
        room -= uses[address] * (len(picture.data_uri) - len(address))
        if room < 0:
            break
        inside.add(address)
    return inside


def _address(picture: Picture) -> str:
    kind = "png" if picture.media_type == "image/png" else "jpg"
    return f"{FOLDER}/{picture.asset_name.removeprefix('asset:')[:24]}.{kind}"


def write_beside(run_folder: Path, page: Page) -> None:
    """Write the pictures that lie beside the page, and remove those of an earlier page."""
    folder = run_folder / FOLDER
    if folder.is_symlink():
        # What it leads to is not ours to write into.
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    if page.beside:
        folder.mkdir()
    for address, picture in page.beside.items():
        (run_folder / address).write_bytes(picture.content)

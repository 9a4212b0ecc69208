"""A page within its budget of bytes: what does not fit lies beside it, and the page says so.

Pictures go into the page in the order in which a reader meets them; the rest become files that a
browser loads only when they come into view. Where the words alone are too many, tables end early.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from audit.report.content import ReportContext
from audit.report.gallery import Picture
from audit.report.pages import fill_page
from audit.report.selection import SCREEN, Medium
from audit.report.theme import Look

FOLDER = "report_files"


@dataclass(frozen=True)
class Page:
    """``report.html``, and the pictures that lie beside it by their names."""

    content: str = field(repr=False)
    beside: dict[str, Picture] = field(default_factory=dict, repr=False)


def fit_page(context: ReportContext, look: Look, medium: Medium = SCREEN) -> Page:
    """Fill the page for the screen within ``look.max_bytes``.

    Parameters
    ----------
    context : ReportContext
        All that is said.
    look : Look
        With the budget.
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

    words = fill_page(context, medium, look, name)
    room = look.max_bytes - len(words.encode()) - _NOTE
    smaller = medium.smaller()
    if room < 0 and smaller is not None:
        return fit_page(context, look, smaller)
    inside = _inside(pictures, uses, room)
    beside = {address: held for address, held in pictures.items() if address not in inside}

    def source(picture: Picture) -> str:
        address = _address(picture)
        return picture.data_uri if address in inside else address

    return Page(fill_page(context, medium, look, source, beside=len(beside)), beside)


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
    shutil.rmtree(run_folder / FOLDER, ignore_errors=True)
    if page.beside:
        (run_folder / FOLDER).mkdir()
    for address, picture in page.beside.items():
        (run_folder / address).write_bytes(picture.content)

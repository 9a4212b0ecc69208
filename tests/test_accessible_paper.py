"""What of PDF/UA-1 can be checked here: tags, language, alternatives, fonts; not what tags mean."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pages import NAMES
from painted import write_run
from pypdf import PdfReader

from audit.manifest import ReportSection
from audit.report.render import render_report


@pytest.fixture(scope="module", params=["en", "de"])
def language(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def printed(tmp_path_factory, language) -> PdfReader:
    run: Path = write_run(tmp_path_factory.mktemp("run"), NAMES)
    settings = ReportSection(language=language)
    return PdfReader(io.BytesIO(render_report(run, ["pdf"], settings)["pdf"].read_bytes()))


def elements(held: Any) -> Iterator[Any]:
    """Every structure element below one, in reading order."""
    if isinstance(held, list):
        for one in held:
            yield from elements(one.get_object())
    elif hasattr(held, "get") and "/S" in held:
        yield held
        if "/K" in held:
            yield from elements(held["/K"])


@pytest.fixture(scope="module")
def tree(printed) -> list[Any]:
    return list(elements(printed.trailer["/Root"]["/StructTreeRoot"]["/K"]))


def test_the_document_says_that_it_is_tagged_and_in_which_language(printed, language):
    root = printed.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == language
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    metadata = root["/Metadata"].get_data().decode()
    assert "pdfuaid" in metadata
    assert "<dc:title>" in metadata
    assert printed.metadata.title


def test_every_picture_and_chart_is_said_in_words(tree):
    figures = [element for element in tree if element["/S"] == "/Figure"]
    assert len(figures) > len(NAMES)
    assert all(str(figure.get("/Alt", "")).strip() for figure in figures)


def test_headings_nest_without_a_gap(tree):
    levels = [int(e["/S"][2:]) for e in tree if e["/S"][1:] in {f"H{n}" for n in range(1, 7)}]
    assert levels[0] in (1, 2)
    assert levels.count(1) == 1
    assert max(levels) >= 4
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_tables_have_heads_and_lists_have_items(tree):
    kinds = {element["/S"] for element in tree}
    assert {"/Table", "/TR", "/TH", "/TD", "/L", "/LI", "/Link", "/P"} <= kinds
    for table in (element for element in tree if element["/S"] == "/Table"):
        below = {element["/S"] for element in elements(table["/K"])}
        assert "/TH" in below


def test_every_page_follows_the_structure_in_its_tab_order(printed):
    for page in printed.pages:
        assert "/StructParents" in page
        if page.get("/Annots"):
            assert page["/Tabs"] == "/S"


def test_links_are_said_in_words(printed):
    links = [a.get_object() for page in printed.pages for a in page.get("/Annots") or []]
    assert links
    assert all("/StructParent" in link for link in links if link["/Subtype"] == "/Link")


def test_every_font_is_embedded(printed):
    for page in printed.pages:
        for font in page["/Resources"].get("/Font", {}).values():
            held = font.get_object()
            inner = held["/DescendantFonts"][0].get_object() if "/DescendantFonts" in held else held
            described = inner["/FontDescriptor"].get_object()
            assert {"/FontFile", "/FontFile2", "/FontFile3"} & set(described)
            assert "/ToUnicode" in held

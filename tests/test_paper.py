"""The PDF: paper, attachment, contents, heads and feet, fonts, and what may not be torn apart."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from pages import NAMES
from painted import write_run
from pypdf import PdfReader

from audit.manifest import ReportSection
from audit.report.context import load_context
from audit.report.render import render_pdf, render_report
from audit.report.style import ReportStyle

MILLIMETRES = 72 / 25.4
PAPERS = {"A4": (210, 297), "Letter": (215.9, 279.4)}
HEADINGS = ("Why", "What to do", "Exhibits", "Indicators", "In numbers", "Confusions")


@pytest.fixture(scope="module", params=PAPERS)
def paper(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"), [*NAMES, "</td>,=2+3"])


@pytest.fixture(scope="module")
def printed(run, paper) -> PdfReader:
    settings = ReportSection(paper=paper)
    return PdfReader(io.BytesIO(render_report(run, ["pdf"], settings)["pdf"].read_bytes()))


@pytest.fixture(scope="module")
def texts(printed) -> list[str]:
    """What stands on each page: to extract it takes longer than to print it."""
    return [page.extract_text() for page in printed.pages]


def lines_of(text: str) -> list[str]:
    """What stands on a page between its head and its foot."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [line for line in lines if not re.match(r"Page \d+ of \d+|Saliency Audit$", line)]


def test_every_page_has_the_paper_that_was_asked_for(printed, paper):
    short, long = PAPERS[paper]
    for page in printed.pages:
        sides = sorted((float(page.mediabox.width), float(page.mediabox.height)))
        assert sides == pytest.approx([short * MILLIMETRES, long * MILLIMETRES], abs=0.5)


def test_the_table_of_all_classes_is_attached(printed, texts, run):
    assert printed.attachments == {"classes.csv": [(run / "classes.csv").read_bytes()]}
    (held,) = printed.attachment_list
    assert held.description == "Every class of this report in numbers"
    assert held.modification_date.year == 2026
    words = " ".join(" ".join(texts).split())
    assert "classes.csv, attached to this document" in words
    assert printed.trailer["/Root"]["/MarkInfo"]["/Marked"]
    assert b"pdfuaid:part" in printed.trailer["/Root"]["/Metadata"].get_data()


def test_without_the_table_nothing_is_attached_nor_said_to_be(tmp_path):
    folder = write_run(tmp_path, NAMES[:1])
    (folder / "classes.csv").unlink()
    held = PdfReader(io.BytesIO(render_report(folder, ["pdf"])["pdf"].read_bytes()))
    assert not held.attachments
    assert "attached" not in "".join(page.extract_text() for page in held.pages)


def test_the_contents_name_the_page_where_each_part_begins(printed, texts):
    begins = {str(e.title): printed.get_destination_page_number(e) for e in flat(printed.outline)}
    contents = next(text for text in texts if "Contents" in text)
    listed = dict(re.findall(r"^(.+?) ?\.{5,} ?(\d+)$", contents, re.MULTILINE))
    assert {"Limits", "Sign-off", "Method", "wolf", "horse"} <= listed.keys()
    for title in ("Limits", "Sign-off", "Method", "Controls", "Provenance", "Problems"):
        assert int(listed[title]) == begins[title] + 1


def flat(outline):
    for entry in outline:
        if isinstance(entry, list):
            yield from flat(entry)
        else:
            yield entry


def test_every_page_but_the_first_says_what_it_belongs_to(texts):
    total = len(texts)
    for number, text in enumerate(texts, 1):
        assert f"Page {number} of {total}" in text
        if number > 1:
            assert "Saliency audit: farm animals" in text


def test_every_font_is_embedded(printed):
    fonts = {}
    for page in printed.pages:
        for font in page["/Resources"]["/Font"].values():
            for real in font.get_object().get("/DescendantFonts", [font]):
                held = real.get_object()
                fonts[held["/BaseFont"]] = held["/FontDescriptor"].get_object().keys()
    assert fonts
    assert all({"/FontFile", "/FontFile2", "/FontFile3"} & keys for keys in fonts.values())


def test_no_heading_is_the_last_thing_on_its_page(printed, texts):
    titles = {*HEADINGS, *(str(entry.title) for entry in flat(printed.outline))} - {"Sign-off"}
    for text in texts:
        assert lines_of(text)[-1] not in titles


def test_no_exhibit_is_torn(texts):
    """Its rule stands on the page on which its last picture is explained."""
    pages = [" ".join(text.split()) for text in texts]
    heads = [text.count("Rule: ") for text in pages]
    last = ("as the audit knows it.", "Experiment by parts.")
    assert heads == [sum(text.count(words) for words in last) for text in pages]
    assert sum(heads) == 3 * 4


def test_the_same_report_is_the_same_file(tmp_path):
    context = load_context(write_run(tmp_path, NAMES[:2]))
    once, again = (render_pdf(context, ReportStyle(), {"classes.csv": b"a"}) for _ in range(2))
    assert once == again


def test_the_index_of_annex_iv_names_the_pages(printed, texts):
    begins = {str(e.title): printed.get_destination_page_number(e) for e in flat(printed.outline)}
    text = " ".join("\n".join(texts).split())
    index = text[text.index("What Annex IV, 2 (g), of the EU’s AI Act asks") :]
    for title in ("Method", "Controls", "Provenance", "Problems", "All classes in numbers"):
        (page, *_) = re.findall(re.escape(title) + r" ?\(page (\d+)\)", index)
        assert int(page) == begins[title] + 1
    assert "dated and signed by the responsible persons" in index


def test_versions_and_times_share_a_page(printed):
    (times,) = (text for page in printed.pages if "Time taken" in (text := page.extract_text()))
    assert "Versions" in times

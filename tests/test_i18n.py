"""The languages of the report: nothing forgotten, nothing stale, numbers as they are written."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import get_args

import catalogue
import pytest
from pypdf import PdfReader
from report_fixture import write_run
from test_report import NAMES, parse

from audit.errors import ManifestError
from audit.findings import Reason
from audit.manifest import ReportSection, load_manifest
from audit.report import formatting, sentences
from audit.report.content import VERDICTS
from audit.report.exhibits import RULES
from audit.report.i18n import ENGLISH, Language, counted, read_language, say, spoken, whole
from audit.report.render import render_report
from audit.verdicts.summary import LIMITS

LANGUAGES = get_args(ReportSection.model_fields["language"].annotation)
OTHERS = [code for code in LANGUAGES if code != ENGLISH.code]
NAMES_ALLOWED = {"Saliency Audit"}
"""The tool's name is no word of a language."""


@pytest.fixture(params=OTHERS)
def language(request) -> Language:
    return read_language(request.param)


def placeholders(text: str) -> list[str]:
    return sorted(
        re.findall(r"%\(\w+\)s|%%|\{\w+\}|<[^>]+>|&nbsp;", text.replace("&nbsp;%%", "%%"))
    )


def fixed(text: str) -> set[str]:
    """What a translation must hold too; a space that does not break is a matter of taste."""
    return {held for held in placeholders(text) if held != "&nbsp;"}


def test_every_fixed_text_has_an_entry_and_no_entry_is_stale(language):
    assert catalogue.messages() == set(language.messages)
    assert set(catalogue.plurals()) == set(language.plurals)
    assert set(language.recorded) <= catalogue.written_by_runs()


def test_what_every_run_writes_is_translated(language):
    limits = [sentences.english(Reason(code=code)) for code in LIMITS]
    always = {*VERDICTS, *RULES, *RULES.values(), *limits, "noted", "background", "object"}
    assert always <= set(language.recorded)


def test_no_template_says_what_no_catalogue_holds():
    for name, text in catalogue.templates().items():
        found = [held for held in catalogue.unmarked(text) if held not in NAMES_ALLOWED]
        # A file's name is one in every language.
        assert [held for held in found if not held.startswith("problems.csv")] == [], name


def test_what_is_filled_in_agrees(language):
    for english, translated in language.messages.items():
        assert fixed(english) == fixed(translated), english
        assert translated.strip() == translated
    for text in [*language.messages.values(), *language.recorded.values()]:
        assert text


def test_no_entry_can_break_out_of_an_attribute(language):
    for english, translated in language.messages.items():
        if '"' not in english:
            assert '"' not in translated, english


def test_every_language_of_the_manifest_can_be_read():
    assert ENGLISH.code in LANGUAGES
    assert [read_language(code).code for code in LANGUAGES] == list(LANGUAGES)


def test_a_language_without_a_catalogue_is_refused(tmp_path):
    path = tmp_path / "audit.yaml"
    path.write_text(
        "version: 1\nname: x\ndataset: {reader: image_folder, root: .}\n"
        "model: {kind: torchvision, arch: resnet18}\nreport: {language: fr}\n"
    )
    with pytest.raises(ManifestError, match=r"report\.language.*'en' or 'de'"):
        load_manifest(path)


def test_numbers_are_written_as_the_language_writes_them():
    with spoken(read_language("de")):
        assert formatting.number(-1.25) == "−1,25"
        assert formatting.share(0.004).split() == ["0,4", "%"]
        assert formatting.share(0.9996).split() == ["99,9", "%"]
        assert formatting.chance(0.0302) == "0,030"
        assert formatting.duration(0.42) == "0,4 s"
        assert whole(1234567) == "1.234.567"
        assert counted(1, "class", "classes") == "1 Klasse"
        assert counted(2000, "class", "classes") == "2.000 Klassen"
        assert formatting.share(None) == "nicht gemessen"
        assert formatting.listing(["a", "b", "c"]) == "a, b und c"
        # What sorts is read by the script, not by people.
        assert formatting.sort_key(0.5) == "0.5"
    assert formatting.number(-1.25) == "−1.25"


def test_a_language_is_spoken_until_its_block_ends_whatever_happens():
    with pytest.raises(ZeroDivisionError), spoken(read_language("de")):
        assert say("Class") == "Klasse"
        _ = 1 / 0
    assert say("Class") == "Class"


@pytest.fixture(scope="module")
def german(tmp_path_factory) -> dict[str, Path]:
    run = write_run(tmp_path_factory.mktemp("de"), [*NAMES, "</td><b>%(x)s %%"])
    return render_report(run, ["html", "pdf"], ReportSection(language="de"))


def test_the_page_speaks_one_language(german):
    page = german["html"].read_text()
    text = parse(page).text
    assert '<html lang="de">' in page
    assert "Trauen Sie diesem Modell bei 3 von 9 Klassen noch nicht." in text
    assert "Salienz-Prüfung: farm animals" in text
    for word in (
        " class ",
        "classes ",
        "images ",
        "not measured",
        "Verdict",
        "interval",
        " points",
    ):
        assert word not in german_part(page), word


def german_part(page: str) -> str:
    """The page's words without what is marked as English and what the fixture itself wrote."""
    return parse(re.sub(r'<span lang="en">.*?</span>', "", page, flags=re.DOTALL)).text


def test_what_stays_english_is_marked_and_announced(german):
    page = german["html"].read_text()
    assert "steht hier auf Englisch." in page
    assert '<span lang="en">' in page
    # Names with marks of formats stand as they are.
    assert "&lt;/td&gt;&lt;b&gt;%(x)s %%" in page


def test_paper_knows_its_language(german):
    printed = PdfReader(io.BytesIO(german["pdf"].read_bytes()))
    assert printed.trailer["/Root"]["/Lang"] == "de"
    words = " ".join(page.extract_text() for page in printed.pages)
    assert f"Seite 1 von {len(printed.pages)}" in words
    assert "Page 1 of" not in words


@pytest.mark.parametrize("count", [0, 1, 2])
def test_suspects_are_counted_rightly(tmp_path, language, count):
    verdicts = ["suspect"] * count + ["clear"] * (3 - count)
    run = write_run(tmp_path, ["a", "b", "c"], verdicts=verdicts)
    written = render_report(run, ["html"], ReportSection(language=language.code))
    text = parse(written["html"].read_text()).text
    expected = {
        0: "Bei allen 3 Klassen wurde keine Abhängigkeit",
        1: "1 Klasse stützt sich auf den Hintergrund",
        2: "2 Klassen stützen sich auf den Hintergrund",
    }
    assert expected[count] in text
    assert json.loads((run / "findings.json").read_text())["summary"]["suspect"] == count

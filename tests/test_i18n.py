"""The languages of the report: nothing forgotten, nothing stale, nothing left in English."""

from __future__ import annotations

import io
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import painted
import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from pages import NAMES, parse
from painted import change, write_run
from pypdf import PdfReader

import report_templates
from audit.errors import ManifestError
from audit.findings import (
    VALUES,
    Code,
    Control,
    ControlName,
    Estimate,
    Findings,
    Indicator,
    IndicatorName,
    MapAgreement,
    MapTrust,
    RandomisedMaps,
    Reason,
    Says,
    Unit,
)
from audit.manifest import ReportSection, load_manifest
from audit.report import formatting, moments
from audit.report.i18n import ENGLISH, gettext, ngettext, read_language, spoken, whole
from audit.report.render import render_report
from audit.report.sentences import SENTENCES, english, say

LANGUAGES = get_args(ReportSection.model_fields["language"].annotation)
OTHERS = [code for code in LANGUAGES if code != ENGLISH.code]
ROOT = Path(report_templates.__file__).parents[1]
GAINS = {"gain_1": 0.5, "found_1": 1, "tested_1": 5, "gain_2": 1.0, "found_2": 3, "tested_2": 5}


@pytest.fixture(scope="module")
def template() -> Catalog:
    """All that is said, as `make messages` finds it."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["babel"]["mappings"]
    methods = [(held["pattern"], held["method"]) for held in settings]
    options = {
        held["pattern"]: {k: v for k, v in held.items() if k not in ("pattern", "method")}
        for held in settings
    }
    found = Catalog()
    for name, line, message, comments, context in extract_from_dir(
        ROOT,
        methods,
        options,
        directory_filter=lambda folder: Path(folder).name in ROOM,
    ):
        found.add(message, None, [(name, line)], auto_comments=comments, context=context)
    return found


ROOM = {"audit", "report", "sentences", "report_templates"}


@pytest.fixture(params=OTHERS)
def language(request) -> str:
    return request.param


def catalogue(code: str) -> Catalog:
    return read_po(io.BytesIO(report_templates.catalogue(code)), locale=code)


def forms(message: Message) -> tuple[list[str], list[str]]:
    """The English and the translated forms of a message."""
    source = list(message.id) if isinstance(message.id, tuple) else [message.id]
    said = message.string
    return source, list(said) if isinstance(said, tuple) else [said]


def test_every_message_is_translated_and_none_is_stale(template, language):
    held = catalogue(language)
    assert {m.id for m in template if m.id} == {m.id for m in held if m.id}
    assert not [m.id for m in held if m.id and (m.fuzzy or not all(forms(m)[1]))]
    assert not held.obsolete


def test_the_template_of_catalogues_is_that_of_the_sources(template):
    path = ROOT / "report_templates" / "locales" / "messages.pot"
    assert {m.id for m in template if m.id} == {
        m.id for m in read_po(io.BytesIO(path.read_bytes())) if m.id
    }


def placeholders(text: str) -> set[str]:
    """What a translation must hold too; a space that does not break is a matter of taste."""
    return set(re.findall(r"%\(\w+\)s|%%|\{\w+\}|</?\w+[^>]*>", text))


def test_translations_hold_what_is_filled_in(language):
    for message in catalogue(language):
        source, said = forms(message)
        wanted = placeholders(source[-1])
        for form in said if message.id else ():
            # One of something may be said in a word.
            missing = wanted - placeholders(form)
            assert not placeholders(form) - wanted, message.id
            assert missing <= (wanted - placeholders(source[0])), message.id


def test_no_translation_breaks_an_attribute(language):
    """A message without quotes may stand in one."""
    for message in catalogue(language):
        source, said = forms(message)
        if message.id and '"' not in "".join(source):
            assert '"' not in "".join(said), message.id


def test_every_template_asks_the_catalogue_for_its_words():
    """Words between tags stand in a trans block or in a call, never bare."""
    for path in sorted((ROOT / "report_templates").glob("*.j2")):
        bare = re.sub(r"\{%-? *trans\b.*?endtrans *[+-]?%\}", "", path.read_text(), flags=re.DOTALL)
        bare = re.sub(r"\{[{%#].*?[}%#]\}|<style>.*?</style>", "", bare, flags=re.DOTALL)
        words = re.sub(r"<[^>]*>|&\w+;", " ", bare).split()
        # File names, symbols of statistics and the tool's own name are no words of a language.
        allowed = {"Saliency", "Audit", "q", "p", "problems.csv", "classes.csv"}
        assert {w for w in words if re.search("[A-Za-z]", w)} <= allowed, path.name


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
        assert ngettext("%(num)s class", "%(num)s classes", 1) == "1 Klasse"
        assert ngettext("%(num)s class", "%(num)s classes", 2000) == "2.000 Klassen"
        assert formatting.share(None) == "nicht gemessen"
        assert formatting.listing(["a", "b", "c"]) == "a, b und c"
        assert moments.day("2026-11-22T20:04:05Z") == "22. November 2026"
        # What sorts is read by the script, not by people.
        assert formatting.sort_key(0.5) == "0.5"
    assert formatting.number(-1.25) == "−1.25"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0 points"), (-0.004, "0 points"), (0.01, "1 point"), (-0.012, "−1 point")],
)
def test_points_are_counted_and_never_minus_zero(value, shown):
    assert formatting.counted_points(value) == shown
    assert formatting.with_interval(Estimate(value=value)).startswith(shown)


@pytest.mark.parametrize("value", [0.997, 0.99999, 0.99001, 1 - 1e-12])
def test_almost_all_is_never_rounded_to_all(value):
    assert formatting.share(value).startswith("99")
    assert formatting.share(1 - value).split()[0] != "0"


def test_a_language_is_spoken_until_its_block_ends_whatever_happens():
    with pytest.raises(ZeroDivisionError), spoken(read_language("de")):
        assert gettext("Class") == "Klasse"
        _ = 1 / 0
    assert gettext("Class") == "Class"


def reason(code: Code, count: int = 3) -> Reason:
    """A reason with plausible values."""
    if code is Code.TAGS_FOUND:
        return Reason(code=code, values=GAINS)
    names = ("attracting_class", "layer")
    counts = ("images", "rank", "judged", "needed", "missing", "flagged", "of", "background")
    more = ("asked", "unclear", "blank_map", "no_evidence", "no_background")
    share = code in (Code.COVERAGE_TOO_LOW, Code.FEW_DECISIONS_CHANGE)
    values: dict[str, Any] = {
        key: "Xyz" if key in names else count if key in counts + more and not share else 0.25
        for key in VALUES.get(code, ())
    }
    if "side" in values:
        values["side"] = "down"
    return Reason(code=code, values=values)


def test_every_code_has_a_sentence():
    assert set(SENTENCES) == set(Code)


@pytest.mark.parametrize("code", Code)
def test_every_sentence_is_said_in_every_language_with_its_values(code, language):
    told = english(reason(code))
    with spoken(read_language(language)):
        assert say(reason(code)) != told
        assert english(reason(code)) == told
    assert "None" not in told
    assert "%(" not in told
    assert "Xyz" in told or not {"attracting_class", "layer"} & set(VALUES.get(code, ()))


@pytest.mark.parametrize(
    "code", [code for code in Code if "attracting_class" in VALUES.get(code, ())]
)
def test_an_unknown_class_is_not_called_none(code):
    held = reason(code)
    told = english(held.model_copy(update={"values": {**held.values, "attracting_class": None}}))
    assert "None" not in told


def test_counts_of_one_are_singular():
    told = english(reason(Code.NEITHER_SHOWN_NOR_EXCLUDED, 1))
    assert told.endswith("with 1 image.")
    with spoken(read_language("de")):
        assert "Mit 1 Bild lässt" in say(reason(Code.NEITHER_SHOWN_NOR_EXCLUDED, 1))
        assert "Mit 2 Bildern lässt" in say(reason(Code.NEITHER_SHOWN_NOR_EXCLUDED, 2))


def with_everything(held: Findings) -> Findings:
    """Every reason, control, indicator and note that there is."""
    cues = {Code.NO_CUE_IMAGES, Code.NO_CUE_FOUND, Code.IMAGES_WITHOUT_WINDOW}
    rest = tuple(reason(code) for code in Code if code not in cues)
    control = {
        ControlName.NEGATIVE: Code.CLASSES_FLAGGED,
        ControlName.POSITIVE: Code.TAGS_FOUND,
        ControlName.UNTRAINED: Code.UNTRAINED_COMPARED,
    }
    estimate = Estimate(value=0.3, low=0.2, high=0.4)
    indicators = tuple(
        Indicator(name=name, says=says, unit=unit, estimate=estimate)
        for name, says, unit in zip(IndicatorName, 2 * tuple(Says), (*Unit, *Unit), strict=False)
    )
    first = held.findings[0]
    noted = first.cues.model_copy(update={"notes": tuple(reason(code) for code in cues)})
    full = {"reasons": rest, "advice": rest, "indicators": indicators, "cues": noted}
    changed = first.model_copy(update={**full, "foreground_area": 0.6})
    controls = tuple(Control(name=n, found=reason(c), passed=False) for n, c in control.items())
    forgot = RandomisedMaps(layer="fc", share=1.0, similarity=0.9)
    trust = MapTrust(
        method="gradcam",
        images=12,
        cascade=(forgot,),
        sensitive=False,
        deletion=estimate,
        insertion=Estimate(value=0.1, low=-0.1, high=0.3),
        agreements=(MapAgreement(method="gradient", similarity=0.2),),
    )
    every = {"findings": (changed, *held.findings[1:]), "controls": controls, "map_trust": trust}
    return held.model_copy(update=every)


@pytest.fixture(scope="module")
def german(tmp_path_factory) -> dict[str, Path]:
    names = ["</td><b>%(x)s %%", "Wölfe", "Gänse", "Füchse", "Katzen"]
    run = write_run(tmp_path_factory.mktemp("de"), names, problems=60)
    change(run, with_everything)
    return render_report(run, ["html", "pdf"], ReportSection(language="de"))


def test_the_german_page_is_german_from_end_to_end(german):
    page = german["html"].read_text()
    assert '<html lang="de">' in page
    assert page.count("lang=") == 1
    shown = parse(page)
    attributes = [
        v for _, key, v in shown.attributes if key in ("alt", "aria-label", "title") and v
    ]
    words = " ".join([shown.text, *attributes, *re.findall(r"<title>(.*?)</title>", page)])
    for message in catalogue("de"):
        source, said = forms(message)
        for english_form in source if message.id and source != said else ():
            # The longest part between two values, or between tags, tells the languages apart.
            parts = re.split(r"%\(\w+\)s|%%|<[^>]+>|&nbsp;|\{\w+\}", english_form)
            longest = max((part.strip(" .,:;()") for part in parts), key=len)
            if len(longest.split()) > 2 and longest not in " ".join(said):
                assert longest not in words, message.id
    text = shown.text.replace("classes.csv", "").replace("images/test", "")
    for word in ("class ", "classes", "images", "measured", "Verdict", "interval", "points"):
        assert f" {word}" not in text, word


def test_the_german_page_says_what_was_found(german):
    text = parse(german["html"].read_text()).text
    assert "Trauen Sie diesem Modell bei 1 von 5 Klassen noch nicht." in text
    assert "Salienz-Prüfung: farm animals" in text
    assert "22. November 2026" in text
    assert "3 von 5 gesetzten Marken mit Gewinn 1 gefunden" in text
    # Names with marks of formats stand as they are.
    assert "&lt;/td&gt;&lt;b&gt;%(x)s %%" in german["html"].read_text()


def test_paper_knows_its_language(german):
    printed = PdfReader(io.BytesIO(german["pdf"].read_bytes()))
    assert printed.trailer["/Root"]["/Lang"] == "de"
    words = " ".join(page.extract_text() for page in printed.pages)
    assert f"Seite 1 von {len(printed.pages)}" in words
    assert "Page 1 of" not in words


@pytest.mark.parametrize("count", [0, 1, 2])
def test_suspects_are_counted_rightly(tmp_path, count):
    verdicts = ["suspect"] * count + ["clear"] * (3 - count)
    run = write_run(tmp_path, ["a", "b", "c"], verdicts=verdicts)
    written = render_report(run, ["html"], ReportSection(language="de"))
    text = parse(written["html"].read_text()).text
    expected = {
        0: "Bei allen 3 Klassen wurde keine Abhängigkeit",
        1: "1 Klasse hängt vom Hintergrund ab",
        2: "2 Klassen hängen vom Hintergrund ab",
    }
    assert expected[count] in text


def test_without_foregrounds_the_german_page_is_german_too(tmp_path):
    run = painted.write_run(tmp_path, NAMES[:2], foregrounds="none")
    written = render_report(run, ["html"], ReportSection(language="de"))
    text = parse(written["html"].read_text()).text
    assert "Was ohne Vordergründe bekannt ist" in text
    assert "foregrounds" not in text

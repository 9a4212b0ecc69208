from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
import re
from itertools import pairwise
from pathlib import Path

import pytest
from pages import HOSTILE, NAMES, Structure, parse
from painted import change, change_classes, change_facts, write_run
from pypdf import PdfReader

import report_templates
from audit.errors import ReportError, RunFolderError
from audit.findings import Code, Control, ControlName, Reason, SwapMatrix, Verdict, read_facts
from audit.report import page_limits, pages, pdf, pictures, render
from audit.report.context import load_context
from audit.report.render import render_html, render_pdf, render_report
from audit.report.style import ReportStyle


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"), NAMES)


@pytest.fixture(scope="module")
def page(run) -> str:
    return render_html(load_context(run))


@pytest.fixture(scope="module")
def printed(run) -> PdfReader:
    return PdfReader(io.BytesIO(render_pdf(load_context(run))))


def test_the_page_says_what_was_found(page):
    text = parse(page).text
    assert "Do not trust this model yet on 2 of 8 classes." in text
    assert all(name in text for name in NAMES)
    assert "323 images found" in text
    assert "2 rejected" in text
    assert "1 used with a note" in text
    assert "91 %" in text
    assert "The file ends early." in text
    assert "weasyprint" in text
    assert "1 min 15 s" in text


def test_what_is_unknown_is_not_zero(page):
    text = parse(page).text
    assert "not measured" in text
    assert "None" not in text
    assert "nan" not in text.lower().split()


def test_the_page_needs_no_other_file_and_runs_its_own_script_only(page):
    parsed = parse(page)
    assert parsed.tags.count("script") == 1
    assert not [key for tag, key, _ in parsed.attributes if tag == "script"]
    script = page.partition("<script>")[2].partition("</script>")[0]
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'\"" in page
    assert script == report_templates.text_of("report.js")
    sources = [value for _, key, value in parsed.attributes if key == "src"]
    assert sources
    assert all(value.startswith("data:image/") for value in sources)
    assert not any(key.startswith("on") for _, key, _ in parsed.attributes)
    targets = {value for _, key, value in parsed.attributes if key == "href"}
    identifiers = [value for _, key, value in parsed.attributes if key == "id"]
    assert len(identifiers) == len(set(identifiers))
    assert {t for t in targets if not t.startswith("#")} <= {"classes.csv", "problems.csv"}
    assert {t[1:] for t in targets if t.startswith("#")} <= set(identifiers)
    assert "class-0000-wolf" in identifiers


def test_the_page_can_be_read_by_everyone(page):
    parsed = parse(page)
    assert ("html", "lang", "en") in parsed.attributes
    pictures = parsed.tags.count("img")
    assert pictures == len([1 for tag, key, value in parsed.attributes if key == "alt" and value])
    assert parsed.tags.count("th") == len([1 for t, k, _ in parsed.attributes if k == "scope"])
    assert parsed.tags.count("table") == parsed.tags.count("caption")
    levels = [
        int(tag[1]) for tag in parsed.tags if len(tag) == 2 and tag[0] == "h" and tag[1] in "123456"
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_hostile_names_do_not_change_the_structure(tmp_path):
    def shape(names: list[str], folder: str) -> Structure:
        return parse(render_html(load_context(write_run(tmp_path / folder, names))))

    plain, hostile = shape(NAMES, "plain"), shape(HOSTILE, "hostile")
    assert plain.tags == hostile.tags
    keys = [[(tag, key) for tag, key, _ in held.attributes] for held in (plain, hostile)]
    assert keys[0] == keys[1]
    assert "<script>alert(1)</script>" in hostile.text
    assert "<img src=file:///etc/hostname" in hostile.text
    assert "{{ 7 * 7 }}" in hostile.text
    assert "evil name" in hostile.text
    assert "x" * 59 + "…" in hostile.text
    assert not set("\u202e\u2066\u200f\x00\x07") & set(hostile.text)


def test_hostile_names_are_in_no_attribute_that_the_script_reads_as_a_word(tmp_path):
    parsed = parse(render_html(load_context(write_run(tmp_path, HOSTILE))))
    for tag, key, value in parsed.attributes:
        if key == "data-v":
            assert value == "" or float(value) == float(value), tag
        if key == "data-verdict":
            assert value in list(Verdict)
        if key.startswith("data-"):
            assert key in {
                *("data-v", "data-verdict", "data-kind", "data-first", "data-picture"),
                *("data-blend", "data-some", "data-none", "data-page"),
            }


def test_paper_holds_no_script(run):
    held = parse(
        pages.fill_page(load_context(run), page_limits.PRINT, ReportStyle(), lambda p: p.asset_name)
    )
    assert not {"script", "input", "button"} & set(held.tags)


def test_hostile_names_print_and_fetch_nothing(tmp_path):
    context = load_context(write_run(tmp_path, HOSTILE))
    reader = PdfReader(io.BytesIO(render_pdf(context)))
    extracted = "".join(page.extract_text() for page in reader.pages)
    # With glyphs that no font has, pypdf reads every letter as two bytes.
    words = "".join(extracted.replace("\0", "").split())
    assert "<script>alert(1)</script>" in words
    assert "etc/hostname" in words
    assert not reader.attachments


def test_the_pdf_has_pages_bookmarks_and_a_title(printed):
    assert printed.metadata.title == "Saliency audit: farm animals"
    assert printed.metadata.author == "Ann Example"
    assert printed.trailer["/Root"]["/MarkInfo"]["/Marked"]
    assert printed.trailer["/Root"]["/Lang"] == "en"
    titles = [str(entry.title) for entry in _flat(printed.outline)]
    assert {"Suspect classes", "wolf", "horse", "Limits", "Sign-off"} <= set(titles)
    first = printed.pages[0].extract_text()
    assert "Do not trust this model yet" in first
    assert "What can this audit not say?" in first
    assert f"Page 1 of {len(printed.pages)}" in first


def _flat(outline):
    for entry in outline:
        if isinstance(entry, list):
            yield from _flat(entry)
        else:
            yield entry


def test_both_formats_are_written_and_unknown_ones_refused(run):
    written = render_report(run, ["html", "pdf"])
    assert written["html"].read_text().startswith("<!DOCTYPE html>")
    assert written["pdf"].read_bytes().startswith(b"%PDF-1.7")
    assert not list(run.glob(".writing-*"))
    assert render_report(run, []) == {}
    with pytest.raises(ReportError, match="docx"):
        render_report(run, ["docx"])


def test_the_html_survives_a_pdf_that_fails(tmp_path, monkeypatch):
    folder = write_run(tmp_path, NAMES[:2])
    (folder / "report.pdf").write_bytes(b"of an earlier state")

    def fail(*_, **__):
        raise MemoryError("at /home/ann/secret")

    monkeypatch.setattr(pdf.weasyprint.HTML, "write_pdf", fail)
    with pytest.raises(ReportError, match=r"could not be made .*…/secret"):
        render_report(folder, ["html", "pdf"])
    assert (folder / "report.html").exists()
    assert not (folder / "report.pdf").exists()


@pytest.mark.parametrize(
    "body",
    [
        "<img alt=a src=file:///etc/hostname>",
        "<img alt=a src=http://127.0.0.1:9/a.png>",
        "<img alt=a src=data:image/gif;base64,R0lGODlhAQABAAAAACw=>",
        "<link rel=stylesheet href=file:///etc/hostname>",
        "<style>@import url(http://127.0.0.1:9/a.css);</style>",
        "<a rel=attachment href=file:///etc/hostname>a</a>",
        "<p style='background:url(file:///etc/hostname)'>a</p>",
        "<svg xmlns='http://www.w3.org/2000/svg'><title>a</title>"
        "<image href='file:///etc/hostname' width='9' height='9'/></svg>",
    ],
)
def test_the_printer_refuses_every_address(body):
    with pytest.raises(ReportError, match="outside the report|while printing"):
        pdf.print_pdf(f"<!DOCTYPE html><html lang=en><title>t</title>{body}", {}, "id")


def test_errors_that_are_only_logged_are_errors():
    with pytest.raises(ReportError, match=r"1 error while printing.*alt"):
        picture = pictures.legend_picture()
        page = f"<!DOCTYPE html><html lang=en><title>t</title><img src={picture.asset_name}>"
        pdf.print_pdf(page, {picture.asset_name: picture}, "id")
    assert not [h for h in logging.getLogger("weasyprint").handlers if isinstance(h, pdf._Said)]


def test_pictures_come_from_inside_the_run_folder_only(tmp_path):
    folder = write_run(tmp_path / "run", NAMES[:2])
    picture = next((folder / "cmv").glob("*.robust-logit.png"))
    outside = tmp_path / "outside.png"
    outside.write_bytes(picture.read_bytes())
    (folder / "link.png").symlink_to(outside)
    for path in ("../outside.png", str(outside), "link.png", ".", "a\0b"):
        with pytest.raises(ReportError, match=r"outside|impossible"):
            pictures.load_picture(folder, path, 10)
    picture.write_bytes(b"no picture")
    with pytest.raises(ReportError, match=r"cannot read"):
        load_context(folder)
    picture.unlink()
    with pytest.raises(ReportError, match=r"cmv/.*missing"):
        load_context(folder)


def test_a_picture_that_failed_says_so_on_its_face(tmp_path):
    folder = write_run(tmp_path, NAMES[:2], verdicts=["suspect"])
    page = parse(render_html(load_context(folder)))
    assert "Failed Simonyan’s form. Class score." in page.text
    assert "Failed Robust recipe." not in page.text
    assert "For a second model the class is number 3 in it" in page.text
    assert "How the first of them came about: after 1, 8, 128 steps." in page.text

    def fail(held):
        failure = Reason(code=Code.CMV_NOT_FIRST, values={"rank": 3})
        panels = [
            tuple(panel.model_copy(update={"failure": failure}) for panel in finding.cmv)
            for finding in held.findings
        ]
        changed = [
            finding.model_copy(update={"cmv": own})
            for finding, own in zip(held.findings, panels, strict=True)
        ]
        return held.model_copy(update={"findings": tuple(changed)})

    change(folder, fail)
    sheet = render_html(load_context(folder)).split('<ul class="sheet">')[1].split("</ul>")[0]
    assert sheet.count("Failed") == 2


def test_the_contact_sheet_shows_score_beside_softmax(run):
    sheet = render_html(load_context(run)).split('<ul class="sheet">')[1].split("</ul>")[0]
    assert sheet.count('<li class="two">') == len(NAMES)
    assert sheet.count("<img") == 2 * len(NAMES)


def test_a_picture_of_too_many_pixels_is_refused(run, monkeypatch):
    monkeypatch.setattr(pictures, "PIXELS_ALLOWED", 100)
    with pytest.raises(ReportError, match="pixels"):
        load_context(run)


def test_no_suspects(tmp_path):
    text = parse(render_html(load_context(write_run(tmp_path, NAMES, verdicts=["clear"])))).text
    assert "No dependence on the background was found in all 8 classes." in text
    assert "None is called suspect." in text
    assert "Nothing because of this audit." in text
    assert "Suspect classes" not in text


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("suspect", "Do not trust this model yet on the only class."),
        ("watch", "No class is suspect, but the only class could not be cleared."),
        ("clear", "No dependence on the background was found in the only class."),
    ],
)
def test_one_class_is_one_class(tmp_path, verdict, expected):
    text = parse(render_html(load_context(write_run(tmp_path, ["wolf"], verdicts=[verdict])))).text
    assert expected in text
    assert "1 class of 1" in text
    assert "1 classes" not in text
    assert "1 images" not in text


def test_no_foregrounds_is_said_loudly(tmp_path):
    folder = write_run(tmp_path, NAMES, foregrounds="none")
    text = parse(render_html(load_context(folder))).text
    assert "it was given no foregrounds" in text
    assert "No foregrounds. This audit was not told where the objects are." in text
    render_pdf(load_context(folder))


def test_an_incomplete_run_says_so(tmp_path):
    folder = write_run(tmp_path, NAMES, status="incomplete", problems=200)
    text = parse(render_html(load_context(folder))).text
    assert "The audit is incomplete" in text
    assert "The first 50 of 200 rows" in text


def test_many_classes_are_cut_and_the_cut_is_said(tmp_path, monkeypatch):
    folder = write_run(tmp_path, NAMES)

    def multiply(held):
        quiet = held.with_verdict(Verdict.CLEAR)[0]
        quiet = quiet.model_copy(update={"exhibits": (), "cmv": (), "masses": ()})
        many = tuple(
            quiet.model_copy(update={"label": i, "label_name": f"class {i}"}) for i in range(40)
        )
        counts = {"classes": 40, "suspect": 0, "watch": 0, "inconclusive": 0, "clear": 40}
        summary = held.summary.model_copy(update=counts)
        return held.model_copy(update={"findings": many, "summary": summary})

    change(folder, multiply)
    context = load_context(folder)
    assert page_limits.SCREEN.ranked_rows == 1000
    screen = page_limits.Medium("screen", 30, 30, 30)
    text = parse(pages.fill_page(context, screen, ReportStyle(), lambda p: p.asset_name)).text
    assert "10 more classes are not in this table" in text
    monkeypatch.setattr(render, "PRINT", page_limits.Medium("print", 5, 10, 10))
    printed = PdfReader(io.BytesIO(render_pdf(context)))
    words = " ".join("".join(page.extract_text() for page in printed.pages).split())
    assert "35 more classes are not in this table" in words
    assert "30 more classes: see classes.csv" in words


def test_a_file_that_became_no_sample_is_named_by_its_path(tmp_path):
    folder = write_run(tmp_path, NAMES[:2])
    with (folder / "problems.csv").open("a") as table:
        table.write(",beagle/7.jpg,,NO_LABEL,no annotated object of a class that counts,skipped\n")
    counts = read_facts(folder / "run.json").counts
    change_facts(folder, counts=counts.model_copy(update={"skipped": 1}))
    context = load_context(folder)
    assert context.problems.rows[-1].image == "beagle/7.jpg"
    text = parse(render_html(context)).text
    assert "beagle/7.jpg" in text
    # What the first page counts is what the table lists: 2 rejected, 1 noted, 1 left out.
    assert context.problems.by_reason == (
        ("rejected", "DATA_CORRUPT", 2),
        ("skipped", "NO_LABEL", 1),
        ("noted", "EXIF_ROTATED", 1),
    )
    first, rest = text.split("Contents", 1)
    assert "2 rejected" in first
    assert "1 left out" in first
    assert "1 entry of the dataset was left out, which counts as no image" in rest
    none = parse(render_html(load_context(write_run(tmp_path / "b", NAMES[:2])))).text
    assert "0 left out" not in none
    assert "entries of the dataset" not in none


def test_nothing_private_is_shown(tmp_path):
    folder = write_run(tmp_path, NAMES[:2])

    def plant(held):
        audit = held.audit.model_copy(
            update={
                "dataset": "/home/ann/private/photos",
                "model": "s3://KEY:CANARY@bucket/model?X-Signature=CANARY",
            }
        )
        layer = r"read from C:\Users\CANARY\photos and file:///srv/CANARY/x"
        features = Reason(code=Code.FEATURES_LAST_LAYER_INPUT, values={"layer": layer})
        found = held.findings[0]
        cues = found.cues.model_copy(update={"features": features})
        named = {"cues": cues, "label_name": "s3://KEY:CANARY@bucket/cat"}
        first = found.model_copy(update=named)
        return held.model_copy(update={"audit": audit, "findings": (first, *held.findings[1:])})

    change(folder, plant)
    change_facts(folder, settings={"root": "/root/CANARY/data"})
    page = render_html(load_context(folder))
    assert "CANARY" not in page
    assert "/home/ann" not in page
    assert str(tmp_path) not in page
    assert "…/photos" in page


def test_the_class_name_may_look_like_a_path(tmp_path):
    text = parse(render_html(load_context(write_run(tmp_path, ["/etc/passwd", "b"])))).text
    assert "/etc/passwd" in text


@pytest.mark.parametrize("name", ["run.json", "findings.json"])
@pytest.mark.parametrize(
    "content", [None, b"{", b"[]", b'{"schema_version": 99}', b"\xff", b"[" * 99999]
)
def test_foreign_files_are_refused_by_name(tmp_path, name, content):
    folder = write_run(tmp_path, NAMES[:1])
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises(RunFolderError, match=name):
        load_context(folder)


def test_a_count_that_is_missing_is_no_zero(tmp_path):
    folder = write_run(tmp_path, NAMES[:1])
    path = folder / "findings.json"
    held = json.loads(path.read_text())
    del held["findings"][0]["images"]
    path.write_text(json.dumps(held))
    with pytest.raises(RunFolderError, match="images"):
        load_context(folder)


def test_naughty_strings_as_names(tmp_path):
    naughty = Path(__file__).parents[2] / "shared" / "data" / "blns.json"
    if not naughty.exists():
        pytest.skip("the Big List of Naughty Strings is not beside this repository")
    strings = [s for s in json.loads(naughty.read_text()) if s]
    names = [f"class {i}" for i in range(64)]
    kinds = ["suspect", "watch", "inconclusive", *["clear"] * 61]
    folder = write_run(tmp_path, names, verdicts=kinds, simonyan=False)
    plain = parse(render_html(load_context(folder))).tags
    for start in range(0, len(strings), 64):

        def rename(held, naughty=strings[start : start + 64]):
            padded = [*naughty, *[f.label_name for f in held.findings[len(naughty) :]]]
            changed = [
                f.model_copy(update=dict.fromkeys(("label_name", "attractor"), name))
                for f, name in zip(held.findings, padded, strict=True)
            ]
            return held.model_copy(update={"findings": tuple(changed)})

        change(folder, rename)
        assert parse(render_html(load_context(folder))).tags == plain


def test_cues_are_said_in_counts_with_intervals(tmp_path: Path) -> None:
    text = parse(render_html(load_context(write_run(tmp_path, NAMES)))).text
    assert "Seen in 31 of 40 images of wolf (78 %, 68 to 88) and in 2 of 38 of husky" in text
    assert "On this background 71 % (5 of 7) of other objects became wolf ." in text
    assert "most often objects of husky : 18 of 20" in text
    assert "By this method nothing here speaks for husky rather than wolf" in text


def test_the_matrix_shows_figures_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    many = [f"class {i}" for i in range(15)]
    page = render_html(load_context(write_run(tmp_path, many)))
    text = parse(page).text
    assert "Whose background makes it whom" in text
    assert "40 of 200 swaps" in text
    assert "33 of them are in this table" in text
    assert "3 more classes are in whose_background.parquet" in text
    assert 'class="n heat-4">75\u00a0%<span class="range">6 of 8</span>' in page
    # The pair that never met stays blank: that is not zero.
    assert "<td></td>" in page


def test_a_run_without_cues_or_matrix_still_reads(tmp_path: Path) -> None:
    folder = write_run(tmp_path, NAMES)

    change(folder, lambda held: held.model_copy(update={"swap_matrix": SwapMatrix()}))
    change_classes(folder, cues=None)
    text = parse(render_html(load_context(folder))).text
    assert "What is the cue?" not in text
    assert "depends on was not looked for" in text
    assert "Whose background" not in text


GAINS = {"gain_1": 0.5, "found_1": 1, "tested_1": 5, "gain_2": 1.0, "found_2": 3, "tested_2": 5}
LIFTS = {"lift": 0.12, "untrained_lift": 0.1, "images": 48, "p": 0.4}
FAILED = {
    ControlName.NEGATIVE: (Code.CLASSES_FLAGGED, {"flagged": 1, "of": 8}, "may be a false alarm"),
    ControlName.POSITIVE: (Code.TAGS_FOUND, GAINS, "a silent class is not proven clear"),
    ControlName.UNTRAINED: (Code.UNTRAINED_COMPARED, LIFTS, "show nothing learned"),
}


def with_control(folder: Path, name: ControlName, passed: bool | None) -> None:
    code, values, _ = FAILED[name]
    made = Control(name=name, found=Reason(code=code, values=values), passed=passed)
    change(folder, lambda held: held.model_copy(update={"controls": (made,)}))


@pytest.mark.parametrize("name", ControlName)
def test_a_failed_control_is_a_box_on_page_one_that_says_what_it_means(tmp_path, name):
    folder = write_run(tmp_path, NAMES)
    with_control(folder, name, False)
    _, box = render_html(load_context(folder)).split('<div class="warning">')
    box, after = box.split("</div>", 1)
    assert "<nav" in after
    assert "This audit failed 1 check of itself." in box
    assert FAILED[name][2] in box
    assert "Expected: " in box
    with_control(folder, name, True)
    page = render_html(load_context(folder))
    assert 'class="warning"' not in page
    assert FAILED[name][2] not in page


def test_verdicts_are_said_more_softly_where_a_control_failed(tmp_path):
    folder = write_run(tmp_path, NAMES)
    assert "4 classes are clear: a loss of 10" in page_text(folder)
    with_control(folder, ControlName.POSITIVE, False)
    text = page_text(folder)
    assert "are clear: an effect" not in text
    assert "In 4 classes no dependence was found, but in this run a planted one was missed" in text
    with_control(folder, ControlName.NEGATIVE, False)
    assert "so this may be a false alarm" in page_text(folder)
    quiet = write_run(tmp_path / "quiet", NAMES, verdicts=["clear"])
    with_control(quiet, ControlName.POSITIVE, False)
    assert "in all 8 classes, but this audit failed a check of itself." in page_text(quiet)


def page_text(folder: Path) -> str:
    return parse(render_html(load_context(folder))).text


def test_a_control_says_its_power_and_page_one_has_no_p_values(tmp_path):
    folder = write_run(tmp_path, NAMES)
    with_control(folder, ControlName.UNTRAINED, False)
    first, rest = render_html(load_context(folder)).split("<nav", 1)
    assert not re.search(r"\bp [=<]|gain [0-9]|lift", first)
    assert "p\u00a0=\u00a00.400" in rest
    with_control(folder, ControlName.POSITIVE, True)
    first, rest = render_html(load_context(folder)).split("<nav", 1)
    assert "Of 5 tags planted to be found, 3 were found." in first
    assert "1 of 5 planted tags of gain 0.50 found; 3 of 5 planted tags of gain 1 found" in rest


def test_large_objects_and_few_donors_are_a_caveat(tmp_path):
    few = write_run(tmp_path / "few", NAMES[:3])
    assert "Only 2 other classes can lend backgrounds" in page_text(few)
    many = write_run(tmp_path / "many", NAMES)
    assert "lend backgrounds" not in page_text(many)
    assert "fills half of the picture" not in page_text(many)
    change_classes(many, foreground_area=0.58)
    text = page_text(many)
    assert "In 8 classes the object fills half of the picture or more" in text
    assert "On average the object fills 58 % of the picture" in text


def test_without_foregrounds_what_is_known_is_shown_and_nothing_empty(tmp_path):
    folder = write_run(tmp_path, NAMES, foregrounds="none")
    with (folder / "problems.csv").open("a") as table:
        table.writelines(f"x{i},a.png,wolf,NO_FOREGROUND,,noted\n" for i in range(90))
    parsed = parse(render_html(load_context(folder)))
    assert "What is known without foregrounds" in parsed.text
    assert "“foreground: {source: estimated}” into the manifest and audit again" in parsed.text
    assert "Its images are taken for husky (1 image, 2.5 %)" in parsed.text
    # The index for the AI Act says what is not measured, and nothing else does.
    assert "not measured" not in parsed.text[: parsed.text.index("Annex IV")]
    assert "NO_FOREGROUND" not in parsed.text
    present = {value for _, key, value in parsed.attributes if key == "id"}
    assert {"known", "cmv", "limits"} <= present
    assert not {"ranking", "appendix", "backgrounds", "inconclusive", "suspects"} & present
    targets = {v for _, k, v in parsed.attributes if k == "href" and v.startswith("#")}
    assert {target[1:] for target in targets} <= present
    overlays = [
        v for _, k, v in parsed.attributes if k == "alt" and v.startswith("Where the score")
    ]
    assert len(overlays) == 2 * len(NAMES)


def test_the_relative_rule_of_maps_is_said_relatively(tmp_path):
    folder = write_run(tmp_path, NAMES[:1])
    change_classes(folder, reasons=(Reason(code=Code.MAPS_AGREE),))
    text = page_text(folder)
    assert "less of the saliency lies on it than in the other classes" in text
    assert "off the object" not in text


def test_names_that_no_font_has_carry_a_number_on_paper(tmp_path, caplog):
    # A script of the twelfth century, for which hardly a computer has a font.
    names = ["wolf", "\U00011d00\U00011d01", "\U00011d02"]
    folder = write_run(tmp_path, names, verdicts=["clear"])
    printed = PdfReader(io.BytesIO(render_pdf(load_context(folder))))
    text = " ".join(printed.pages[0].extract_text().replace("\0", "").split())
    assert "Not all names can be printed." in text
    assert "Masaram" in text
    assert "no. 1" in " ".join(p.extract_text().replace("\0", "") for p in printed.pages)
    assert "no font on this computer has 3 of its characters (Masaram)" in caplog.text
    assert "Noto" in caplog.text
    assert "Not all names" not in page_text(folder)


def test_a_trusted_file_is_named_on_the_first_page(run: Path, tmp_path: Path) -> None:
    assert "A file was trusted" not in render_html(load_context(run))
    folder = write_run(tmp_path, NAMES)
    change_facts(folder, settings={"trusted file": "<model>.pt, a TorchScript graph"})
    first = parse(render_html(load_context(folder))).text.split("Contents")[0]
    assert "A file was trusted that can run code." in first
    assert "<model>.pt, a TorchScript graph" in first

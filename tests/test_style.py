"""How a report is dressed: logo, accent, audience, own templates; and how large it may become."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path, PurePath
from types import FunctionType, ModuleType
from typing import Any

import pytest
from pages import HOSTILE, NAMES, parse
from painted import write_run
from PIL import Image

from audit.colours import READABLE, contrast
from audit.errors import ManifestError, ReportError
from audit.manifest import Manifest, ReportSection, load_manifest
from audit.report import page_limits, pictures, render, style
from audit.report.context import load_context
from audit.report.render import render_html, render_report
from audit.report.style import ReportStyle, keep_style, lightened, read_style

MANIFEST = "version: 1\nname: a\ndataset: {}\nmodel: {}\n"


def declared(folder: Path, **report: Any) -> Manifest:
    folder.mkdir(parents=True, exist_ok=True)
    return Manifest.model_validate(
        {"version": 1, "name": "a", "dataset": {}, "model": {}, "report": report}
        | {"folder": folder, "source": ""}
    )


def write_logo(path: Path, size: tuple[int, int] = (900, 300)) -> None:
    held = Image.new("RGBA", size, (0, 0, 0, 0))
    held.paste((122, 31, 92, 255), (10, 10, size[0] // 2, size[1] - 10))
    exif = Image.Exif()
    exif[0x013B] = "CANARY"
    held.save(path, exif=exif)


@pytest.mark.parametrize(
    ("accent", "message"),
    [
        ("red", "#rrggbb"),
        ("#fff", "#rrggbb"),
        ("#ffcc00", "read on white .*this one has 1.5"),
        ("#0b5cad;}", "#rrggbb"),
    ],
)
def test_an_accent_that_cannot_be_read_is_refused(tmp_path, accent, message):
    path = tmp_path / "m.yaml"
    path.write_text(f"{MANIFEST}report: {{accent: '{accent}'}}\n")
    with pytest.raises(ManifestError, match=message):
        load_manifest(path)


@pytest.mark.parametrize("accent", ["#0b5cad", "#7A1F5C", "#000000", "#006400"])
def test_an_accent_can_be_read_in_light_and_dark(tmp_path, accent):
    settings = ReportSection(accent=accent)
    folder = write_run(tmp_path, NAMES[:1])
    page = render_report(folder, ["html"], settings)["html"].read_text()
    dark = lightened(accent)
    assert contrast(dark, style.DARK_PAPER) >= READABLE
    assert f"--accent: {accent.lower()};" in page
    assert f"--accent: {dark};" in page


def test_the_logo_is_encoded_anew_and_stays_with_the_run(tmp_path):
    manifest = declared(tmp_path / "source", logo="logo.png")
    write_logo(tmp_path / "source" / "logo.png")
    folder = write_run(tmp_path / "run", NAMES[:2])
    keep_style(folder, manifest)
    kept = (folder / "theme" / "logo.png").read_bytes()
    assert b"CANARY" not in kept
    assert Image.open(io.BytesIO(kept)).size == (480, 160)
    (tmp_path / "source" / "logo.png").unlink()
    written = render_report(folder, ["html", "pdf"], manifest.report)
    pictures = [v for t, k, v in parse(written["html"].read_text()).attributes if k == "alt"]
    assert pictures[0] == "Logo"
    plain = render_report(folder, ["html"])["html"].read_text()
    assert 'alt="Logo"' not in plain


@pytest.mark.parametrize(
    "content",
    [None, b"", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", b"GIF89a..."],
)
def test_a_logo_that_is_no_raster_picture_is_refused(tmp_path, content):
    manifest = declared(tmp_path / "source", logo="logo.svg")
    if content is not None:
        (tmp_path / "source" / "logo.svg").write_bytes(content)
    for refuse in (style.check_style, lambda m: keep_style(tmp_path / "run", m)):
        with pytest.raises(ManifestError, match=r"report\.logo: .*Expected PNG, JPEG or WebP"):
            refuse(manifest)
    assert not (tmp_path / "run" / "theme" / "logo.png").exists()


def test_a_logo_of_too_many_pixels_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "PIXELS_ALLOWED", 1000)
    manifest = declared(tmp_path, logo="logo.png")
    write_logo(tmp_path / "logo.png")
    with pytest.raises(ManifestError, match=r"report\.logo: 900 x 300 pixels"):
        keep_style(tmp_path / "run", manifest)


def own_templates(folder: Path, **partials: str) -> Manifest:
    manifest = declared(folder / "source", templates="own")
    (folder / "source" / "own").mkdir()
    for name, text in partials.items():
        (folder / "source" / "own" / f"_{name}.html.j2").write_text(text)
    return manifest


def test_own_templates_come_first_and_escape_as_ours_do(tmp_path):
    text = "<p>Of our house</p>{% for f in report.findings %}<p>{{ f.label_name }}</p>{% endfor %}"
    manifest = own_templates(tmp_path, limits=text)
    folder = write_run(tmp_path / "run", HOSTILE)
    keep_style(folder, manifest)
    page = render_html(
        load_context(folder), read_style(folder, manifest.report, trust_templates=True)
    )
    parsed = parse(page)
    assert "Of our house" in parsed.text
    assert parsed.tags.count("script") == 1
    assert "<script>alert(1)</script>" in parsed.text
    assert "Of our house" not in render_html(load_context(folder))


def test_a_constant_of_own_templates_is_written_in_the_language_of_each_page(tmp_path):
    manifest = own_templates(tmp_path, limits="<p>{{ 0.997 | share }}</p>")
    folder = write_run(tmp_path / "run", NAMES[:1])
    keep_style(folder, manifest)
    # One environment for all pages: what the first compiled must not speak for the second.
    for language, written in (("de", "99,7"), ("en", "99.7")):
        settings = manifest.report.model_copy(update={"language": language})
        page = render_report(folder, ["html"], settings, trust_templates=True)["html"]
        assert f"<p>{written}" in page.read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ report.__class__.__mro__ }}", "SecurityError"),
        # What pydantic brings along reads files and, if asked, pickles.
        ("{{ report.parse_file('findings.json') }}", "SecurityError"),
        ("{{ report.audit.parse_raw('', content_type='pickle', allow_pickle=True) }}", "Security"),
        ("{{ run.model_construct() }}", "SecurityError"),
        ("{{ (report | attr('model_construct'))() }}", "SecurityError|UndefinedError"),
        ("{{ style.templates.joinpath('x').read_text() }}", "UndefinedError"),
        ("{{ style.templates.update({}) }}", "SecurityError"),
        ("{{ sentences.headline.__globals__ }}", "SecurityError"),
        ("{{ nothing }}", "UndefinedError"),
        ("{% include '../../../run.json' %}", "TemplateNotFound"),
    ],
)
def test_own_templates_cannot_leave_their_sandbox(tmp_path, text, message):
    manifest = own_templates(tmp_path, limits=text)
    folder = write_run(tmp_path / "run", NAMES[:1])
    keep_style(folder, manifest)
    with pytest.raises(ReportError, match=rf"report\.templates: .*{message}"):
        render_report(folder, ["html"], manifest.report, trust_templates=True)


def test_templates_that_are_none_are_found_before_work_begins(tmp_path):
    for partials, message in (({"limits": "a\n{% if %}"}, "_limits.html.j2, line 2"), ({}, "none")):
        folder = tmp_path / message[:4]
        with pytest.raises(ManifestError, match=message):
            style.check_style(own_templates(folder, **partials))
    with pytest.raises(ManifestError, match="expected a folder"):
        style.check_style(declared(tmp_path, templates="nowhere"))


def test_no_template_is_handed_a_path_or_a_module(tmp_path, monkeypatch):
    """Whatever a template can reach from its context is words, numbers and functions."""
    handed: dict[str, Any] = {}

    def render(self, *_, **context):
        handed.update(context)
        return ""

    monkeypatch.setattr("jinja2.Template.render", render)
    render_html(load_context(write_run(tmp_path, NAMES[:1])))
    assert handed
    seen, todo = set(), list(handed.values())
    while todo:
        held = todo.pop()
        assert not isinstance(held, (PurePath, ModuleType))
        if id(held) in seen or isinstance(held, (str, bytes)):
            continue
        seen.add(id(held))
        if isinstance(held, Mapping):
            todo += [*held, *held.values()]
        elif isinstance(held, (list, tuple, set, frozenset)):
            todo += held
        # A template cannot look into a function.
        if not isinstance(held, FunctionType):
            todo += getattr(held, "__dict__", {}).values()


def test_templates_of_a_run_folder_are_read_only_where_they_are_trusted(tmp_path):
    manifest = own_templates(tmp_path, limits="<p>Of our house</p>")
    folder = write_run(tmp_path / "run", NAMES[:1])
    keep_style(folder, manifest)
    pages = [
        render_report(folder, ["html"], manifest.report, trust_templates=trusted)["html"]
        .read_text()
        .count("Of our house")
        for trusted in (False, True)
    ]
    assert pages == [0, 1]


def test_links_among_templates_are_refused(tmp_path):
    manifest = own_templates(tmp_path, limits="<p>mine</p>")
    secret = tmp_path / "secret"
    secret.write_text("SECRET")
    (tmp_path / "source" / "own" / "_method.html.j2").symlink_to(secret)
    for refuse in (style.check_style, lambda held: keep_style(tmp_path / "run", held)):
        with pytest.raises(ManifestError, match=r"_method.html.j2: expected a regular file"):
            refuse(manifest)


def test_a_logo_of_a_run_folder_lies_in_it(tmp_path):
    folder = write_run(tmp_path / "run", NAMES[:1])
    outside = tmp_path / "outside.png"
    write_logo(outside)
    # What the manifest of a run folder names is not opened, whatever it is.
    settings = ReportSection(logo=str(outside))
    with pytest.raises(ReportError, match=r"theme/logo.png: .*missing"):
        render_report(folder, ["html"], settings)
    (folder / "theme").mkdir()
    (folder / "theme" / "logo.png").symlink_to(outside)
    with pytest.raises(ReportError, match="outside"):
        render_report(folder, ["html"], settings)


def test_a_pipe_is_no_logo_and_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "logo.png")
    with pytest.raises(ManifestError, match="no regular file"):
        style.check_style(declared(tmp_path, logo="logo.png"))


def test_a_manifest_that_may_be_foreign_reads_no_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("CANARY", "SECRET")
    path = tmp_path / "m.yaml"
    path.write_text(MANIFEST + "report: {title: '${CANARY}'}\n")
    assert load_manifest(path).report.title == "SECRET"
    assert load_manifest(path, expand=False).report.title == "${CANARY}"


def test_the_executive_report_is_shorter_and_ends_with_how_it_was_done(tmp_path):
    folder = write_run(tmp_path, NAMES, audience="executive")
    brief = render_html(
        load_context(folder), read_style(folder, ReportSection(audience="executive"))
    )
    whole = render_html(
        load_context(folder), read_style(folder, ReportSection(audience="technical"))
    )
    parsed, full = parse(brief), parse(whole)
    assert len(brief) < 0.75 * len(whole)
    assert "What each way of asking" in full.text
    assert "What each way of asking" not in parsed.text
    assert "2 more exhibits lie in the run folder" in parsed.text
    order = [value for _, key, value in parsed.attributes if key == "id"]
    assert order.index("sign-off") < order.index("method") < order.index("provenance")
    assert "appendix" not in order
    targets = {v for _, k, v in parsed.attributes if k == "href" and v.startswith("#")}
    assert {target[1:] for target in targets} <= set(order)
    assert sum(line in parsed.text for line in ("May this model be trusted", "Limits")) == 2


def small(monkeypatch: pytest.MonkeyPatch, max_bytes: int) -> None:
    """Budgets below those that a manifest may name, so that small runs meet them too."""
    monkeypatch.setattr(render, "read_style", lambda *_, **__: ReportStyle(max_bytes=max_bytes))


@pytest.mark.parametrize("max_bytes", [120_000, 150_000, 250_000])
def test_a_page_keeps_its_budget_and_says_what_lies_beside_it(tmp_path, monkeypatch, max_bytes):
    folder = write_run(tmp_path, NAMES)
    small(monkeypatch, max_bytes)
    written = render_report(folder, ["html"])["html"]
    assert written.stat().st_size <= max_bytes
    parsed = parse(written.read_text())
    sources = [value for _, key, value in parsed.attributes if key == "src"]
    outside = {value for value in sources if not value.startswith("data:")}
    files = {p.relative_to(folder).as_posix() for p in (folder / page_limits.FOLDER).iterdir()}
    assert outside == files
    assert f"{len(files)} pictures lie beside this page in the folder report_files" in parsed.text
    assert "img-src data: 'self'" in written.read_text()
    # What comes first is inside: a reader of the page alone sees the first exhibits.
    inside = [source.startswith("data:") for source in dict.fromkeys(sources)]
    assert inside == sorted(inside, reverse=True)


def test_within_the_budget_one_file_is_all(tmp_path, monkeypatch):
    folder = write_run(tmp_path, NAMES)
    small(monkeypatch, 100_000)
    render_report(folder, ["html"])
    assert (folder / page_limits.FOLDER).is_dir()
    monkeypatch.undo()
    page = render_report(folder, ["html"])["html"].read_text()
    assert not (folder / page_limits.FOLDER).exists()
    assert "report_files" not in page
    assert "'self'" not in page


def test_where_words_alone_are_too_many_tables_end_early_and_say_so(tmp_path):
    names = [f"class {i}" for i in range(90)]
    folder = write_run(tmp_path, names, verdicts=["clear"])
    whole = len(render_html(load_context(folder)))
    dressed = ReportStyle(max_bytes=whole // 3)
    page = render_html(load_context(folder), dressed)
    assert len(page.encode()) <= whole // 3
    text = parse(page).text
    assert "more classes: see classes.csv" in text

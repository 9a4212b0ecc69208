"""The report in a real browser: its script, its keyboard, its contrast, axe-core's rules."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from pages import HOSTILE, NAMES
from painted import change, write_run
from playwright.sync_api import Browser, Page, expect, sync_playwright

from audit.manifest import ReportSection
from audit.report import render
from audit.report.render import render_report
from audit.report.style import ReportStyle

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(
            "the page's script is not tested: no Chromium or Chrome was found "
            "(Debian: apt-get install chromium)"
        )
    with sync_playwright() as driver:
        # A root user, as in a container, has no sandbox to start.
        held = driver.chromium.launch(executable_path=found, chromium_sandbox=os.geteuid() != 0)
        yield held
        held.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("run"), NAMES)
    return render_report(folder, ["html"])["html"]


@pytest.fixture
def page(browser, report) -> Iterator[Page]:
    yield from opened(browser, report)


def opened(browser: Browser, report: Path, **options) -> Iterator[Page]:
    """The page from disk, with every error of its script a failure, and no network."""
    context = browser.new_context(offline=True, **options)
    complaints: list[str] = []
    held = context.new_page()
    held.on("pageerror", lambda error: complaints.append(str(error)))
    held.on("console", lambda said: complaints.append(said.text))
    held.goto(report.as_uri())
    yield held
    context.close()
    assert complaints == []


def shown(page: Page) -> list[str]:
    """The names of the rows that can be seen, from top to bottom."""
    return [
        row.locator(".name").inner_text()
        for row in page.locator("table.ranking tbody tr").all()
        if row.is_visible()
    ]


def heading(page: Page, name: str):
    return page.locator("table.ranking thead th").filter(
        has=page.get_by_role("button", name=name, exact=True)
    )


@pytest.mark.parametrize(
    "name",
    ["Class", "Verdict", "Background gap, points", "Gap on one scale", "Mass", "Images", "q"],
)
def test_every_column_sorts_both_ways_and_back(page, name):
    button = page.get_by_role("button", name=name, exact=True)
    button.click()
    first, direction = shown(page), heading(page, name).get_attribute("aria-sort")
    button.click()
    second, other = shown(page), heading(page, name).get_attribute("aria-sort")
    assert {direction, other} == {"ascending", "descending"}
    assert sorted(first) == sorted(second) == sorted(NAMES)
    button.click()
    assert shown(page) == first
    assert page.locator("table.ranking [aria-sort]").count() == 1


def test_names_sort_as_a_dictionary_does_and_numbers_by_size(page):
    page.get_by_role("button", name="Class", exact=True).click()
    assert shown(page) == sorted(NAMES)
    page.get_by_role("button", name="Background gap, points").click()
    gaps = [
        float(cell.get_attribute("data-v"))
        for cell in page.locator("table.ranking tbody td:nth-child(3)").all()
    ]
    assert gaps == sorted(gaps, reverse=True)


def test_what_is_unknown_sorts_last_either_way(browser, tmp_path):
    folder = write_run(tmp_path, NAMES)

    def forget(held):
        changed = [
            f if f.verdict == "suspect" else f.model_copy(update={"q_value": None})
            for f in held.findings
        ]
        return held.model_copy(update={"findings": tuple(changed)})

    change(folder, forget)
    for page in opened(browser, render_report(folder, ["html"])["html"]):
        unknown = set(NAMES) - {"wolf", "horse"}
        for _ in range(2):
            page.get_by_role("button", name="q", exact=True).click()
            assert set(shown(page)[:2]) == {"wolf", "horse"}
            assert set(shown(page)[2:]) == unknown


def test_search_and_filter_say_how_many_are_left(page):
    status = page.get_by_role("status")
    assert status.inner_text() == ""
    page.get_by_role("searchbox", name="Search by name").fill("WÓLF")
    expect(status).to_have_text("1 of 8 rows shown.")
    assert shown(page) == ["wolf"]
    page.get_by_role("checkbox", name="suspect").uncheck()
    expect(status).to_have_text("No row shown: no class has such a name and verdict.")
    page.get_by_role("searchbox").press("Escape")
    expect(status).to_have_text("8 of 8 rows shown.")
    assert sorted(shown(page)) == sorted(NAMES)
    assert page.get_by_role("checkbox", name="suspect").is_checked()


def test_a_link_finds_its_class_even_where_it_is_filtered_out(page):
    page.get_by_role("searchbox").fill("wolf")
    assert shown(page) == ["wolf"]
    page.evaluate("location.hash = '#class-0001-husky'")
    row = page.locator("#class-0001-husky")
    expect(row).to_be_focused()
    expect(row).to_be_in_viewport()
    page.get_by_role("searchbox").fill("wolf")
    page.locator(".sheet a[href='#class-0001-husky']").click()
    expect(row).to_be_focused()
    expect(row).to_be_in_viewport()


def test_a_link_from_elsewhere_opens_the_class(browser, report):
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(f"{report.as_uri()}#class-0000-wolf")
    expect(page.locator("#class-0000-wolf")).to_be_in_viewport()
    expect(page.locator("#class-0000-wolf")).to_be_focused()
    context.close()


def test_all_of_it_works_by_keyboard(page):
    search = page.get_by_role("searchbox")
    search.focus()
    page.keyboard.type("o")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.get_by_role("checkbox", name="suspect")).not_to_be_checked()
    assert "wolf" not in shown(page)
    for _ in range(4):
        page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Class", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    assert heading(page, "Class").get_attribute("aria-sort") == "ascending"
    assert shown(page) == sorted(shown(page))


def test_the_slider_blends_map_and_image(page):
    exhibit = page.locator(".exhibit").first
    slider = exhibit.get_by_role("slider", name="Image ↔ saliency")
    image, laid = exhibit.locator(".stack img").all()
    assert image.get_attribute("src") != laid.get_attribute("src")
    assert image.bounding_box() == laid.bounding_box()
    assert laid.evaluate("e => getComputedStyle(e).opacity") == "1"
    slider.focus()
    page.keyboard.press("Home")
    assert laid.evaluate("e => getComputedStyle(e).opacity") == "0"
    page.emulate_media(media="print")
    assert laid.evaluate("e => getComputedStyle(e).opacity") == "1"
    assert not slider.is_visible()


def test_pictures_beside_the_page_are_found_from_disk(browser, tmp_path, monkeypatch):
    folder = write_run(tmp_path, NAMES)
    monkeypatch.setattr(render, "read_style", lambda *_, **__: ReportStyle(max_bytes=120_000))
    for page in opened(browser, render_report(folder, ["html"])["html"]):
        beside = page.locator("img[src^='report_files/']").all()
        assert beside
        assert all(picture.get_attribute("loading") == "lazy" for picture in beside)
        for picture in (beside[0], beside[-1]):
            picture.scroll_into_view_if_needed()
            expect(picture).to_have_js_property("complete", True)
            assert picture.evaluate("e => e.naturalWidth") > 0


def test_without_script_nothing_dead_is_shown_and_nothing_is_missing(browser, report):
    for page in opened(browser, report, java_script_enabled=False):
        assert not page.locator("#tools").is_visible()
        assert page.locator("button, input[type=range]").count() == 0
        assert page.locator("table.ranking tbody tr").count() == len(NAMES)
        assert page.locator(".exhibit img").first.is_visible()


def test_hostile_names_run_nothing_and_can_be_found(browser, tmp_path):
    report = render_report(write_run(tmp_path, HOSTILE), ["html"])["html"]
    for page in opened(browser, report):
        page.on("dialog", lambda _: pytest.fail("a name ran as a script"))
        assert page.locator("script").count() == 1
        for name in ("<script>alert(1)", "{{ 7 * 7 }}", "xxxxxxxx", "狼"):
            page.get_by_role("searchbox").fill(name)
            assert len(shown(page)) == 1, name
        page.get_by_role("searchbox").press("Escape")
        page.get_by_role("button", name="Class", exact=True).click()
        assert len(shown(page)) == len(HOSTILE)


def test_the_policy_lets_no_other_script_run(browser, report):
    """Whatever got into the page as markup would still not run."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.evaluate("typeof window.ran") == "undefined"
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        " document.body.append(s); document.body.insertAdjacentHTML('beforeend',"
        " '<img src=x onerror=window.ran=1>'); }"
    )
    assert page.evaluate("typeof window.ran") == "undefined"
    context.close()


# Every two of scheme, width and audience together.
@pytest.mark.parametrize(
    ("scheme", "width", "audience"),
    [
        ("light", 1280, "technical"),
        ("dark", 1280, "executive"),
        ("light", 390, "executive"),
        ("dark", 390, "technical"),
    ],
)
def test_axe_finds_nothing(browser, tmp_path, scheme, width, audience):
    settings = ReportSection(audience=audience, accent="#7a1f5c")
    report = render_report(write_run(tmp_path, NAMES), ["html"], settings)["html"]
    size = {"width": width, "height": 800}
    for page in opened(browser, report, color_scheme=scheme, viewport=size, bypass_csp=True):
        found = Axe().run(page).response["violations"]
        assert [(v["id"], v["impact"], v["nodes"][0]["html"][:200]) for v in found] == []
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width

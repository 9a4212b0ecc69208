"""What a report says of the run before, of reviews and of a gate."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from pages import NAMES, parse
from painted import change, write_run

from audit.findings import (
    Change,
    ClassChange,
    Code,
    Comparability,
    Comparison,
    Decision,
    Estimate,
    Findings,
    Reason,
    Review,
    ReviewedClass,
    RunName,
    Standing,
    Trend,
    TrendPoint,
    Verdict,
    finding_id,
)
from audit.report.render import render_report

WORDS = (Change.NEW, Change.FIXED, Change.UNSURE, Change.UNCHANGED)


def told(held: Findings) -> Findings:
    """The record beside that of an earlier run, one class of each word."""
    named = [f.label_name for f in held.findings]
    moved = Estimate(value=0.31, low=0.22, high=0.4)
    changes = tuple(
        ClassChange(
            label_name=name,
            change=WORDS[min(place, 3)],
            earlier=Verdict.CLEAR,
            later=Verdict.SUSPECT,
            difference=moved,
            detectable=0.12,
        )
        for place, name in enumerate(named)
    )
    points = tuple(
        TrendPoint(
            started=f"2026-11-0{night}T00:00:00Z",
            verdict=Verdict.SUSPECT if night == 3 else Verdict.CLEAR,
            gap=Estimate(value=0.1 * night, low=0.1 * night - 0.05, high=0.1 * night + 0.05),
            model_changed=night == 3,
            images_changed=night == 2,
        )
        for night in (1, 2, 3)
    )
    review = Review(
        finding_id=finding_id("farm animals", named[0]),
        audit="farm animals",
        label_name=named[0],
        decision=Decision.WAIVE,
        by="<script>Ada</script>",
        reason="known",
        made="2026-11-21T00:00:00Z",
        until=date(2027, 1, 31),
        run_id="x",
        model="cd" * 32,
        verdict=Verdict.SUSPECT,
    )
    failure = Reason(code=Code.GATE_NEW, values={"label_name": named[0]})
    return held.model_copy(
        update={
            "comparison": Comparison(
                earlier=RunName(
                    folder="20261121-020000", run_id="x", started="2026-11-21T02:00:00Z"
                ),
                later=RunName(folder="20261122-020000", run_id="y", started="2026-11-22T02:00:00Z"),
                comparability=Comparability.PAIRED,
                reasons=(Reason(code=Code.MODEL_DIFFERS),),
                margin=0.05,
                model_changed=True,
                images_changed=False,
                classes=changes,
            ),
            "waiting": (named[0],),
            "reviews": (ReviewedClass(review=review, standing=Standing.IN_FORCE),),
            "trends": (Trend(label_name=named[0], points=points),),
            "summary": held.summary.model_copy(update={"gate_failures": (failure,)}),
        }
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write_run(tmp_path_factory.mktemp("changes") / "run", NAMES[:6])
    change(folder, told)
    render_report(folder, ["html"])
    return (folder / "report.html").read_text()


def test_page_one_tells_what_changed_and_why_the_gate_failed(page: str) -> None:
    first = page[page.index('id="verdict"') : page.index('id="changes"')]
    assert "Since the run before: 1 new, 1 unsure, 1 fixed, 3 unchanged." in first
    assert "its gap moved by 31 points (95 % interval 22 to 40)" in first.replace("\xa0", " ")
    assert "is suspect and was not before." in first


def test_a_class_that_waits_for_another_audit_is_named_with_why(page: str) -> None:
    first = page[page.index('id="verdict"') : page.index('id="changes"')]
    assert first.count("Not confirmed yet: not all of its images") == 1
    assert page.count("Not confirmed yet") == 2


def test_the_section_has_every_class_that_is_not_shown_to_be_unchanged(page: str) -> None:
    start = page.index('<section id="changes"')
    section = page[start : page.index("</section>", start)]
    assert "The two runs are paired" in section
    assert "The model is another." in section
    assert "3 classes of 6 that are not shown to be unchanged" in section
    assert section.count("<tr>") == 1 + 3
    assert "<title>" in section
    assert "gap of 10, 20, 30 points, the latest last" in section


def test_a_review_is_shown_as_text_where_its_class_is(page: str) -> None:
    assert page.count("waived by &lt;script&gt;Ada&lt;/script&gt; on 21 November 2026") == 2
    assert "until 31 January 2027" in page
    assert "<script>Ada" not in page
    assert parse(page)


def test_a_first_run_says_nothing_of_a_run_before(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", NAMES[:3])
    render_report(folder, ["html"])
    page = (folder / "report.html").read_text()
    assert 'id="changes"' not in page
    assert "What has changed?" not in page

"""Reviews, gates and the history beside the runs, on run folders whose truth is known."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from planted_history import CLASSES, facts, run, write_night
from record import finding, findings

import audit
from audit.errors import RunFolderError
from audit.exports.events import changed_classes
from audit.exports.junit import junit
from audit.exports.sarif import sarif
from audit.findings import (
    Change,
    Code,
    Decision,
    Findings,
    Hashes,
    Review,
    ReviewedClass,
    Standing,
    Verdict,
    finding_id,
    read_facts,
    read_findings,
)
from audit.history.compare import compare
from audit.history.gate import GATES, gate_failures
from audit.history.predecessors import run_before
from audit.history.reviews import append_review, read_reviews, standing_reviews
from audit.history.trends import HISTORY_COLUMNS
from audit.pipeline.compare import with_history
from audit.pipeline.review import review
from audit.pipeline.run_json import update_facts
from audit.report.sentences.history import review_line
from audit.report.sentences.outcome import outcome_line
from audit.run_folder import RunFolder

S, W, U, C = Verdict.SUSPECT, Verdict.WATCH, Verdict.INCONCLUSIVE, Verdict.CLEAR


def reviewed(**more: Any) -> Review:
    held: dict[str, Any] = {
        "finding_id": finding_id("farm animals", "bee"),
        "audit": "farm animals",
        "label_name": "bee",
        "decision": Decision.WAIVE,
        "by": "Ada",
        "reason": "known",
        "made": "2026-11-26T00:00:00Z",
        "run_id": "one",
        "model": "a" * 64,
        "verdict": S,
        "gap": 0.3,
    }
    return Review(**{**held, **more})


def standing(held: Review, gap: float | None = 0.3, verdict: Verdict = S, model: str = "a") -> str:
    record = findings(finding("bee", verdict, background_gap=gap), finding("cat", label=1))
    (found,) = standing_reviews([held], record, model * 64, date(2026, 12, 1))
    return found.standing.value


def test_a_review_lapses_by_date_by_model_and_when_the_class_gets_worse() -> None:
    assert standing(reviewed()) == "in_force"
    assert standing(reviewed(until="2026-12-01")) == "in_force"
    assert standing(reviewed(until="2026-11-30")) == "past_its_date"
    assert standing(reviewed(), model="b") == "another_model"
    assert standing(reviewed(), gap=0.34) == "in_force"
    assert standing(reviewed(), gap=0.36) == "got_worse"
    assert standing(reviewed(), gap=None) == "got_worse"
    assert standing(reviewed(verdict=W)) == "got_worse"
    assert standing(reviewed(), gap=0.0, verdict=C) == "in_force"


def test_the_latest_review_of_a_class_counts_and_other_audits_are_not_asked() -> None:
    record = findings(finding("bee", S, background_gap=0.3))
    first, second = reviewed(), reviewed(decision=Decision.DISPUTE)
    other = reviewed(finding_id=finding_id("another audit", "bee"), decision=Decision.ACCEPT)
    (found,) = standing_reviews([first, second, other], record, "a" * 64, date(2026, 12, 1))
    assert found.review.decision is Decision.DISPUTE
    assert not found.is_waived


def test_lines_are_only_added_and_a_torn_one_loses_itself_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "reviews.jsonl"
    append_review(path, reviewed())
    path.write_bytes(path.read_bytes() + b'{"finding_id": "torn')
    before = path.read_bytes()
    append_review(path, reviewed(decision=Decision.ACCEPT))
    assert path.read_bytes().startswith(before)
    found = read_reviews(path)
    assert [one.decision for one in found] == [Decision.WAIVE, Decision.ACCEPT]
    assert "line 2 is no review" in caplog.text


def test_names_and_reasons_are_one_line_of_plain_text() -> None:
    hostile = reviewed(by="Eve\u202e\x00", reason="<b>fine</b>\n\n# heading")
    said = review_line(ReviewedClass(review=hostile, standing=Standing.ANOTHER_MODEL))
    assert said == (
        "waived by Eve on 26 November 2026: “<b>fine</b> # heading” "
        "(lapsed: it was made for another model)"
    )
    with pytest.raises(ValueError, match="says nothing"):
        reviewed(by="  ")


def gated(
    gate: str, before: dict[str, Verdict] | None, now: dict[str, Verdict], **more: Any
) -> Any:
    """The codes and classes for which a gate fails."""
    gaps = {S: 0.4, W: 0.09, U: 0.0, C: 0.0}
    nights = [
        run({name: gaps[v] for name, v in held.items()}, held, of=facts(), images=16)
        for held in (before, now)
        if held is not None
    ]
    record = nights[-1].findings
    if before is not None:
        record = record.model_copy(update={"comparison": compare(*nights)})
    record = record.model_copy(update=more)
    failures = [one.model_dump(mode="python") for one in gate_failures(gate, record)]
    return [(one["code"], *one["values"].values()) for one in failures]


def test_a_gate_asks_what_it_is_named_after() -> None:
    same = {"ant": C, "bee": S}
    assert gated("never", same, {"ant": S, "bee": S}) == []
    assert gated("suspect", same, same) == [(Code.GATE_SUSPECT, "bee")]
    assert gated("new", same, same) == []
    assert gated("worsened", same, same) == []
    assert gated("new", same, {"ant": S, "bee": S}) == [(Code.GATE_NEW, "ant")]
    assert gated("suspect", same, {"ant": C, "bee": C}) == []


def test_a_gate_fails_closed() -> None:
    same = {"ant": C, "bee": S}
    # A first run has nothing before it, so what is suspect in it is new.
    assert gated("new", None, same) == [(Code.GATE_SUSPECT, "bee")]
    assert gated("new", same, {"ant": U, "bee": C}) == [(Code.GATE_NOT_MEASURED, "ant")]
    assert gated("suspect", None, {"ant": U, "bee": U}) == [(Code.GATE_NOTHING_JUDGED,)]
    assert set(GATES) == {"never", "suspect", "new", "worsened"}


def test_a_waived_class_passes_and_a_lapsed_waiver_does_not() -> None:
    for where, failed in ((Standing.IN_FORCE, []), (Standing.GOT_WORSE, ["bee"])):
        waived = (ReviewedClass(review=reviewed(), standing=where),)
        found = gated("suspect", None, {"ant": C, "bee": S}, reviews=waived)
        assert [name for _, name in found] == failed


def night(
    folder: Path, number: int, gaps: dict[str, float], **more: Any
) -> tuple[RunFolder, Findings]:
    """The folder of a night's run, with its findings laid beside those before it."""
    made = write_night(folder / f"night-{number}", gaps, started=number, **more)
    found = with_history(made, read_findings(made.findings))
    made.findings.write_text(found.model_dump_json())
    return made, found


def test_three_nights_the_same_a_cue_planted_and_removed(tmp_path: Path) -> None:
    quiet = dict.fromkeys(CLASSES, 0.01)
    _, alone = night(tmp_path, 1, quiet)
    assert alone.comparison is None
    # Who audits once, into a folder of his own, finds nothing beside it.
    assert [path.name for path in tmp_path.iterdir()] == ["night-1"]
    _, second = night(tmp_path, 2, {**quiet, "bee": 0.5}, model="b", gate="new")
    assert second.comparison is not None
    assert second.comparison.earlier.folder == "night-1"
    assert [one.label_name for one in second.comparison.with_change(Change.NEW)] == ["bee"]
    assert not second.summary.gate_passed
    third, last = night(tmp_path, 3, quiet, model="c", gate="new")
    assert last.comparison is not None
    assert [one.label_name for one in last.comparison.with_change(Change.FIXED)] == ["bee"]
    assert last.summary.gate_passed
    held = pd.read_parquet(third.history)
    assert list(held.columns) == HISTORY_COLUMNS.names
    assert len(held) == 3 * len(CLASSES)
    bee = held[held["label_name"] == "bee"]
    assert bee["verdict"].tolist() == ["clear", "suspect", "clear"]
    assert bee["change"].fillna("none").tolist() == ["none", "new", "fixed"]
    (trend,) = [one for one in last.trends if one.label_name == "bee"]
    assert [point.verdict for point in trend.points] == [C, S, C]
    assert [point.model_changed for point in trend.points] == [False, True, True]
    # Decided once more, a run stands in the history once.
    with_history(third, last)
    assert len(pd.read_parquet(third.history)) == 3 * len(CLASSES)


FRESH = 1000
"""From this image on a night has none of another."""


def after_two(folder: Path, number: int, suspect: bool, images: int) -> Findings:
    """A night whose gate answers once two audits in a row find bee suspect; on images of its own.

    `images` is the first; of a night from 1001 on one is not of a night from 1000 on.
    """
    gaps = {**dict.fromkeys(CLASSES, 0.01), "bee": 0.5 if suspect else 0.01}
    path = folder / f"night-{number}"
    made = write_night(path, gaps, started=number, gate="new", first=images, images=20)
    update_facts(made, hashes=Hashes(model="a" * 64, data=f"{images:064d}"))
    record = read_findings(made.findings)
    asked = record.summary.model_copy(update={"gate_after": 2})
    found = with_history(made, record.model_copy(update={"summary": asked}))
    made.findings.write_text(found.model_dump_json())
    return found


def news(findings: Findings) -> list[str]:
    return [finding.label_name for finding in changed_classes(findings)["new"]]


def test_with_fresh_images_every_night_a_class_waits_for_the_second_that_finds_it(
    tmp_path: Path,
) -> None:
    found = [
        after_two(tmp_path, number, number in (2, 4, 5, 6), number * FRESH)
        for number in range(1, 7)
    ]
    assert [one.waiting for one in found] == [(), ("bee",), (), ("bee",), (), ()]
    assert [one.summary.gate_passed for one in found] == [True, True, True, True, False, True]
    assert [news(one) for one in found] == [[], [], [], [], ["bee"], []]
    assert "1 class waits for another audit" in outcome_line(found[1])
    facts = read_facts(tmp_path / "night-4" / "run.json")
    (result,) = json.loads(sarif(found[3], facts))["runs"][0]["results"]
    assert (result["level"], "Not confirmed yet" in result["message"]["text"]) == ("note", True)
    assert (b"<skipped" in junit(found[3], facts), b"<failure" in junit(found[3], facts)) == (
        True,
        False,
    )
    # Written by a version that did not note who waited, a history is no reason to begin anew.
    path = tmp_path / "history.parquet"
    pd.read_parquet(path).drop(columns="waiting").to_parquet(path)
    again = after_two(tmp_path, 7, True, 7 * FRESH)
    assert [len(trend.points) for trend in again.trends] == [7] * len(CLASSES)


def test_who_sees_the_same_images_again_or_nothing_before_waits_for_nothing(
    tmp_path: Path,
) -> None:
    first = after_two(tmp_path, 1, True, 0)
    assert (first.waiting, first.summary.gate_passed, news(first)) == ((), False, ["bee"])
    after_two(tmp_path, 2, False, 0)
    retrained = after_two(tmp_path, 3, True, 0)
    assert (retrained.waiting, retrained.summary.gate_passed) == ((), False)
    # Nothing changes any more, so that no audit would confirm it.
    after_two(tmp_path, 4, False, FRESH)
    fresh = after_two(tmp_path, 5, True, FRESH + 1)
    assert (fresh.waiting, fresh.summary.gate_passed) == (("bee",), True)
    made = RunFolder(tmp_path / "night-5")
    update_facts(made, confirmed=("2026-11-06T00:00:00Z",))
    again = with_history(made, fresh)
    assert (again.waiting, again.summary.gate_passed) == ((), False)
    # Whom the repeated night called is not called once more.
    assert news(after_two(tmp_path, 6, True, 2 * FRESH)) == []


def test_a_night_that_cannot_be_compared_waits_for_nothing(tmp_path: Path) -> None:
    after_two(tmp_path, 1, False, FRESH)
    settings = {**read_facts(tmp_path / "night-1" / "run.json").settings, "fill": "mean"}
    update_facts(RunFolder(tmp_path / "night-1"), settings=settings)
    found = after_two(tmp_path, 2, True, 2 * FRESH)
    assert (found.waiting, found.summary.gate_passed) == ((), False)


def test_the_run_before_is_of_the_same_audit_finished_and_earlier(tmp_path: Path) -> None:
    quiet = dict.fromkeys(CLASSES, 0.01)
    made = {
        number: write_night(tmp_path / f"n{number}", quiet, started=number) for number in (1, 2, 4)
    }
    write_night(tmp_path / "other", quiet, started=3, name="another audit")
    write_night(tmp_path / "failed", quiet, started=3, status="failed")
    (tmp_path / "latest").symlink_to("n4")
    (tmp_path / "notes").mkdir()
    found = run_before(made[4], read_facts(made[4].run_json))
    assert found is not None
    assert found.path.name == "n2"
    assert run_before(made[1], read_facts(made[1].run_json)) is None


def test_folders_of_others_that_may_not_be_read_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = {"ant": 0.0, "bee": 0.0}
    first = write_night(tmp_path / "first", quiet, started=1)
    second = write_night(tmp_path / "second", quiet, started=2)
    (tmp_path / "private").mkdir()
    asked = Path.is_file

    def is_file(path: Path) -> bool:
        if path.parent.name == "private":
            raise PermissionError(path)
        return asked(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    found = run_before(second, read_facts(second.run_json))
    assert found == first


def test_compare_and_review_as_they_are_called(tmp_path: Path) -> None:
    quiet = dict.fromkeys(CLASSES, 0.01)
    first = write_night(tmp_path / "a", {**quiet, "bee": 0.5}, started=1)
    second = write_night(tmp_path / "b", quiet, started=2, model="b")
    found = audit.compare(first.path, second.path)
    assert {c.label_name: c.change for c in found.classes}["bee"] is Change.FIXED
    with pytest.raises(RunFolderError, match="not in the run folder"):
        audit.compare(first.path, tmp_path)
    said = review(first.path, "bee", "waive", by="Ada", reason="known", until="2027-01-31")
    assert said.path == tmp_path / "reviews.jsonl"
    (line,) = said.path.read_text().splitlines()
    assert json.loads(line)["until"] == "2027-01-31"
    for wrong, told in (
        ({"label_name": "gnu"}, "'gnu' is no class of this run; it has ant, bee"),
        ({"decision": "ignore"}, "--decision: .*found 'ignore'"),
        ({"until": "soon"}, "--until: .*found 'soon'"),
        ({"reason": " "}, "--reason: .*says nothing"),
    ):
        how = {"label_name": "bee", "decision": "waive", "by": "Ada", "reason": "x", **wrong}
        with pytest.raises(RunFolderError, match=told):
            review(first.path, how.pop("label_name"), how.pop("decision"), **how)
    assert len(said.path.read_text().splitlines()) == 1
    carried = with_history(first, read_findings(first.findings))
    assert carried.waived == {"bee"}
    assert read_facts(first.run_json).hashes == Hashes(model="a" * 64)

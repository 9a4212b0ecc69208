"""The record: one writer, one reader, and nothing that is undefined passes for a number."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from pydantic import ValidationError
from record import finding, findings

from audit.errors import RunFolderError
from audit.findings import (
    SCHEMA_VERSION,
    ClassRow,
    Code,
    Reason,
    Verdict,
    json_schemas,
    read_findings,
    write_findings,
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    held = findings(finding("wolf", Verdict.SUSPECT, background_gap=0.4), finding("cat"))
    write_findings(tmp_path / "findings.json", held)
    assert read_findings(tmp_path / "findings.json") == held


def test_an_undefined_number_is_null_on_disk_and_never_zero(tmp_path: Path) -> None:
    write_findings(tmp_path / "findings.json", findings(finding("cat", background_gap=math.nan)))
    text = (tmp_path / "findings.json").read_text()
    assert json.loads(text)["findings"][0]["background_gap"] is None
    assert "NaN" not in text


def test_a_share_outside_its_range_is_no_share() -> None:
    with pytest.raises(ValidationError):
        finding("cat", recall=1.5)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "cannot be read"),
        ("[1]", "found none"),
        ('{"schema_version": 1}', f"expected schema_version {SCHEMA_VERSION}, found 1"),
        ("[" * 100_000, "cannot be read"),
        ('{"schema_version": 2}', "Field required"),
    ],
)
def test_a_file_that_is_not_ours_is_refused_in_words(
    tmp_path: Path, content: str, says: str
) -> None:
    (tmp_path / "findings.json").write_text(content)
    with pytest.raises(RunFolderError, match=says):
        read_findings(tmp_path / "findings.json")


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="Resume it first"):
        read_findings(tmp_path / "findings.json")


def test_a_refusal_does_not_repeat_what_a_hostile_file_holds(tmp_path: Path) -> None:
    held = json.loads(findings(finding("cat")).model_dump_json())
    held["findings"][0]["images"] = "SECRET"
    (tmp_path / "findings.json").write_text(json.dumps(held))
    with pytest.raises(RunFolderError) as caught:
        read_findings(tmp_path / "findings.json")
    assert "SECRET" not in str(caught.value)
    assert "findings.0.images" in str(caught.value)


def test_each_effect_has_its_interval_beside_it() -> None:
    row = finding("cat", background_gap=0.1, background_gap_low=0.0, background_gap_high=0.2)
    held = row.estimate("background_gap")
    assert (held.value, held.low, held.high) == (0.1, 0.0, 0.2)
    names = list(ClassRow.model_fields)
    for name in names:
        if name.endswith("_low"):
            stem = name.removesuffix("_low")
            place = names.index(stem)
            assert names[place : place + 3] == [stem, f"{stem}_low", f"{stem}_high"]


def test_reasons_are_equal_by_content() -> None:
    one, same, other = (
        Reason(code=Code.SELDOM_RECOGNISED, values={"recall": recall}) for recall in (0.2, 0.2, 0.3)
    )
    assert one == same
    assert len({one, same, other}) == 2


@pytest.mark.parametrize("values", [{}, {"recall": 0.2, "more": 1}])
def test_a_reason_has_the_values_that_its_sentence_needs(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="has the values recall"):
        Reason(code=Code.SELDOM_RECOGNISED, values=values)


def test_a_code_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValidationError, match="code"):
        Reason.model_validate({"code": "because"})


def test_verdicts_come_in_the_order_of_urgency() -> None:
    assert [v.urgency for v in (Verdict.SUSPECT, Verdict.WATCH, Verdict.CLEAR)] == [0, 1, 3]


def test_the_schema_describes_every_field_of_a_class() -> None:
    described = json_schemas()["findings.json"]["$defs"]["ClassFinding"]["properties"]
    assert set(ClassRow.model_fields) <= set(described)

"""Reports where others can open them, and the page that a workflow engine shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from planted_history import write_night
from pydantic import ValidationError

from audit.exports.run_page import class_rows, page_of
from audit.findings import Exhibit, ExhibitPictures, Findings, Role, read_facts, read_findings
from audit.manifest import ReportSection
from audit.pipeline.compare import with_history
from audit.pipeline.publish import address_of, publish, unreachable_because
from audit.run_folder import RunFolder

GAPS = {"ant": 0.0, "bee": 0.5, "cat": 0.01, "dog": 0.01}


@pytest.fixture
def night(tmp_path: Path) -> RunFolder:
    made = write_night(tmp_path / "20261126-020000", GAPS, started=1)
    (made.path / "report.html").write_text("<p>page</p>")
    (made.path / "report_files").mkdir()
    (made.path / "report_files" / "a.jpg").write_bytes(b"picture")
    return made


def test_what_is_published_to_a_folder_is_what_the_run_holds(
    night: RunFolder, tmp_path: Path
) -> None:
    place = (tmp_path / "served").as_uri()
    assert publish(night, "Farm animals", place)
    there = tmp_path / "served" / "farm-animals" / night.path.name
    names = ["findings.json", "report.html", "report_files/a.jpg"]
    assert [(there / n).read_bytes() for n in names] == [
        (night.path / n).read_bytes() for n in names
    ]
    held = read_facts(night.run_json)
    assert held.published is not None
    assert held.published.endswith(f"served/farm-animals/{night.path.name}")
    assert not (there / "scores.parquet").exists()


def test_a_place_that_is_no_folder_of_this_computer(night: RunFolder) -> None:
    assert publish(night, "farm", "memory://audits")
    root = f"/audits/farm/{night.path.name}"
    assert fsspec.filesystem("memory").cat(f"{root}/report.html") == b"<p>page</p>"
    page = night.path / "report.html"
    there = ReportSection(publish="memory://audits")
    assert address_of(page, night, there) == f"memory://audits/farm/{night.path.name}/report.html"
    open_at = there.model_copy(update={"public_url": "https://audits.example/"})
    wanted = f"https://audits.example/farm/{night.path.name}/report.html"
    assert address_of(page, night, open_at) == wanted


@pytest.mark.parametrize("place", ["nowhere://x", "file:///dev/null/x"])
def test_a_place_that_cannot_be_reached_costs_the_copy_and_is_said(
    night: RunFolder, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert not publish(night, "farm", place)
    held = read_facts(night.run_json)
    assert held.published is None
    assert held.publish_error
    assert "not published" in caplog.text
    # Links lead where something is.
    page = night.path / "report.html"
    assert address_of(page, night, ReportSection(publish=place)) == ""


class Buckets(MemoryFileSystem):
    """A store of objects as s3fs shows one: asked for a folder, it makes a missing bucket."""

    protocol = "buckets"
    store: ClassVar[dict[str, Any]] = {}
    made: ClassVar[set[str]] = {"audits"}

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(path).removeprefix("buckets://").strip("/")

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self.made.add(path.partition("/")[0])

    def put_file(self, lpath: str, rpath: str, **_: Any) -> None:
        if rpath.partition("/")[0] not in self.made:
            raise FileNotFoundError("The specified bucket does not exist")
        self.store[rpath] = Path(lpath).read_bytes()


def test_a_mistyped_bucket_is_not_made(night: RunFolder) -> None:
    fsspec.register_implementation("buckets", Buckets, clobber=True)
    assert not publish(night, "farm", "buckets://audit/reports")
    assert "does not exist" in str(read_facts(night.run_json).publish_error)
    assert Buckets.made == {"audits"}
    assert publish(night, "farm", "buckets://audits/reports")
    assert f"audits/reports/farm/{night.path.name}/report.html" in Buckets.store


def test_a_key_in_an_address_is_written_nowhere(night: RunFolder) -> None:
    place = "memory://KEYOFSOMEBODY:SECRETOFSOMEBODY@audits"
    publish(night, "farm", place)
    link = address_of(night.path / "report.html", night, ReportSection(publish=place))
    assert "SECRETOFSOMEBODY" not in night.run_json.read_text() + link


def test_check_can_say_what_is_not_installed() -> None:
    assert unreachable_because("memory://audits") == unreachable_because(None) == ""
    assert "nowhere" in unreachable_because("nowhere://audits")


def test_an_address_has_a_scheme() -> None:
    with pytest.raises(ValidationError, match="publish"):
        ReportSection(publish="served/audits")


def with_name_and_picture(night: RunFolder, name: str) -> Findings:
    Image.new("RGB", (300, 200), "red").save(night.path / "a.png")
    findings = read_findings(night.findings)
    shown = Exhibit(
        label=1,
        role=Role.WORST,
        sample_id="a",
        label_name=name,
        prediction_name=name,
        confidence=0.5,
        foreground_area=0.5,
        foreground_mass=0.5,
        mass_lift=0.0,
        pictures=ExhibitPictures(image="a.png"),
    )
    changed = [
        one.model_copy(update={"label_name": name, "exhibits": (shown,)})
        if one.label_name == "bee"
        else one
        for one in findings.findings
    ]
    return findings.model_copy(update={"findings": tuple(changed)})


def test_the_page_shows_pictures_and_no_name_becomes_markup(night: RunFolder) -> None:
    name = "[bee](https://x.example) <img src=x onerror=y> **`a`"
    findings = with_name_and_picture(night, name)
    page = page_of(findings, night.path, "https://audits.example/report.html")
    assert "[The report](https://audits.example/report.html)" in page
    assert len(re.findall(r"!\[[^]]*\]\(data:image/jpeg;base64,[\w+/=]+\)", page)) == 1
    assert "<" not in page
    assert "](https://x.example)" not in page
    assert "data:" not in page_of(findings, None)
    assert any(row["verdict"] == "suspect" for row in class_rows(findings))


def test_the_page_of_a_second_night_says_what_changed(tmp_path: Path) -> None:
    write_night(tmp_path / "1", GAPS, started=1)
    second = write_night(tmp_path / "2", {**GAPS, "bee": 0.0}, started=2)
    page = page_of(with_history(second, read_findings(second.findings)), None)
    assert "### What changed\n\n- **bee**: fixed, its gap moved by" in page

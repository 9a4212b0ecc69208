"""Findings in other people's formats: what each must hold, and that alerts close by themselves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from planted_history import CLASSES, facts, write_night

from audit.exports import EXPORTS
from audit.findings import Findings, read_facts, read_findings
from audit.manifest import ReportSection
from audit.pipeline.compare import with_history
from audit.pipeline.report import reports_of, write_reports
from audit.pipeline.review import review
from audit.run_folder import RunFolder

QUIET = dict.fromkeys(CLASSES, 0.01)


def night(
    folder: Path, number: int, gaps: dict[str, float], **more: Any
) -> tuple[RunFolder, Findings]:
    made = write_night(folder / f"night-{number}", gaps, started=number, **more)
    return made, with_history(made, read_findings(made.findings))


def exported(name: str, made: RunFolder, findings: Findings) -> bytes:
    return EXPORTS[name].content(findings, read_facts(made.run_json))


def alerts(made: RunFolder, findings: Findings) -> dict[str, dict[str, Any]]:
    (run,) = json.loads(exported("sarif", made, findings))["runs"]
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    return {one["partialFingerprints"]["saliencyAuditFinding/v1"]: one for one in run["results"]}


def test_an_alert_stays_the_same_from_run_to_run_and_closes_once_it_is_repaired(
    tmp_path: Path,
) -> None:
    first = alerts(*night(tmp_path, 1, {**QUIET, "bee": 0.5, "cat": 0.3}))
    assert all("baselineState" not in one for one in first.values())
    second = alerts(*night(tmp_path, 2, {**QUIET, "bee": 0.5, "dog": 0.4}))
    states = {one["message"]["text"].split(":")[0]: one["baselineState"] for one in second.values()}
    assert states == {"bee": "unchanged", "dog": "new"}
    (bee,) = set(first) & set(second)
    assert first[bee]["message"]["text"].startswith("bee: ")
    assert alerts(*night(tmp_path, 3, QUIET)) == {}


def test_a_waived_class_is_suppressed_and_skipped_with_its_reason(tmp_path: Path) -> None:
    made, _ = night(tmp_path, 1, {**QUIET, "bee": 0.5, "cat": 0.3})
    review(made.path, "bee", "waive", by="Ada", reason="known & <put up with>")
    findings = with_history(made, read_findings(made.findings))
    found = {one["message"]["text"][:3]: one for one in alerts(made, findings).values()}
    assert "suppressions" not in found["cat"]
    assert "known & <put up with>" in found["bee"]["suppressions"][0]["justification"]
    root = ET.fromstring(exported("junit", made, findings))
    assert root.tag == "testsuites"
    (suite,) = root
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "1", "1")
    cases = {case.get("name"): case for case in suite}
    assert "known & <put up with>" in str(cases["bee"][0].get("message"))
    assert cases["cat"][0].tag == "failure"
    assert cases["ant"].find("failure") is None


def test_names_that_xml_cannot_hold_are_written_without_what_it_cannot(tmp_path: Path) -> None:
    made, findings = night(tmp_path, 1, {"ant": 0.5, "bee": 0.5})
    evil = "a\x00\x0b\ufffe]]></testcase>\ud800"
    renamed = tuple(f.model_copy(update={"label_name": evil}) for f in findings.findings[:1])
    findings = findings.model_copy(update={"findings": renamed, "comparison": None})
    (case,) = ET.fromstring(exported("junit", made, findings))[0]
    assert case.get("name") == "a ]]></testcase>"
    (alert,) = alerts(made, findings).values()
    assert alert["message"]["text"].startswith("a ]]></testcase>: ")


def test_the_bill_names_the_model_and_a_metric_a_class(tmp_path: Path) -> None:
    made, findings = night(tmp_path, 1, {"ant": 0.5, "bee": 0.0})
    bom = json.loads(exported("cyclonedx", made, findings))
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bom["serialNumber"])
    model = bom["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    gaps = {m["slice"]: float(m["value"]) for m in metrics if m["type"].startswith("background")}
    assert gaps.keys() == {"ant", "bee"}
    assert gaps["ant"] > 0.4
    assert exported("cyclonedx", made, findings) == exported("cyclonedx", made, findings)
    assert (
        "hashes"
        not in json.loads(
            EXPORTS["cyclonedx"].content(findings, facts(hashes={"model": "", "data": "x"}))
        )["components"][0]
    )


def test_what_the_manifest_asks_for_lies_beside_the_report(tmp_path: Path) -> None:
    made, _ = night(tmp_path, 1, {"ant": 0.5, "bee": 0.0})
    written = write_reports(made, ReportSection(formats=("junit", "sarif", "cyclonedx")))
    assert [path.name for path in written] == ["junit.xml", "findings.sarif", "bom.cdx.json"]
    assert reports_of(made) == written

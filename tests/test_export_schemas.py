"""The exports against their published formats, over three nights of which one is waived.

CycloneDX is held to its own schema by its own library. Of JUnit XML and SARIF the constraints that
touch what is written stand here; beside them the exports were checked once by hand
against the schema of Jenkins's xUnit plug-in and by Microsoft's SARIF Multitool 5.7.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import jsonschema
import pytest
from lxml import etree
from planted_history import CLASSES, write_night

from audit.exports import EXPORTS
from audit.findings import read_facts, read_findings
from audit.pipeline.compare import with_history
from audit.pipeline.review import review

QUIET = dict.fromkeys(CLASSES, 0.01)
NIGHTS = ({**QUIET, "bee": 0.5, "cat": 0.3}, {**QUIET, "bee": 0.5, "dog": 0.4}, QUIET)

Written = tuple[Mapping[str, bytes], ...]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The exports of each night; from the second on they tell of changes."""
    folder, found = tmp_path_factory.mktemp("nights"), []
    for number, gaps in enumerate(NIGHTS, 1):
        made = write_night(folder / f"night-{number}", gaps, started=number)
        if number == 1:
            review(made.path, "bee", "waive", by="Ada", reason="known & <put up with>")
        findings = with_history(made, read_findings(made.findings))
        held = read_facts(made.run_json)
        found.append({name: export.content(findings, held) for name, export in EXPORTS.items()})
    return tuple(found)


def _object(required: str = "", **properties: Any) -> dict[str, Any]:
    """An object of these properties and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def _words(*words: str) -> dict[str, Any]:
    return {"enum": list(words)}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


TEXT = {"type": "string"}
MESSAGE = _object("text", text=TEXT)
LEVEL = _words("none", "note", "warning", "error")
BAG = {"type": "object", "properties": {"tags": _list(TEXT)}}
RULE = _object(
    "id",
    id=TEXT,
    shortDescription=MESSAGE,
    fullDescription=MESSAGE,
    defaultConfiguration=_object(level=LEVEL),
)
PLACE = _object(
    physicalLocation=_object(
        artifactLocation=_object(uri={"type": "string", "format": "uri-reference"}),
        region=_object(startLine={"type": "integer", "minimum": 1}),
    ),
    logicalLocations=_list(_object(name=TEXT, fullyQualifiedName=TEXT)),
)
RESULT = _object(
    "message",
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": -1},
    level=LEVEL,
    message=MESSAGE,
    locations=_list(PLACE),
    partialFingerprints={"type": "object", "additionalProperties": TEXT},
    properties=BAG,
    baselineState=_words("new", "unchanged", "updated", "absent"),
    suppressions=_list(
        _object(
            "kind",
            kind=_words("inSource", "external"),
            status=_words("accepted", "underReview", "rejected"),
            justification=TEXT,
        )
    ),
)
RUN = _object(
    "tool",
    tool=_object("driver", driver=_object("name", name=TEXT, version=TEXT, rules=_list(RULE))),
    automationDetails=_object(id=TEXT),
    columnKind=_words("utf16CodeUnits", "unicodeCodePoints"),
    results=_list(RESULT),
    properties=BAG,
)
SARIF = _object(
    "version runs",
    **{"$schema": {"type": "string", "format": "uri"}},
    version=_words("2.1.0"),
    runs=_list(RUN),
)


@pytest.mark.parametrize("night", range(len(NIGHTS)))
def test_sarif_is_what_its_schema_allows(written: Written, night: int) -> None:
    jsonschema.Draft202012Validator(SARIF).validate(json.loads(written[night]["sarif"]))


def test_the_third_night_has_no_alert_of_the_second(written: Written) -> None:
    second, third = (json.loads(night["sarif"])["runs"][0]["results"] for night in written[1:])
    assert sorted(one["baselineState"] for one in second) == ["new", "unchanged"]
    (waived,) = [one for one in second if "suppressions" in one]
    assert waived["message"]["text"].startswith("bee: ")
    assert third == []


JUNIT = etree.XMLSchema(
    etree.fromstring("""
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <xs:simpleType name="seconds"><xs:restriction base="xs:string">
    <xs:pattern value="\\d+(\\.\\d{1,3})?"/>
  </xs:restriction></xs:simpleType>
  <xs:complexType name="outcome" mixed="true">
    <xs:attribute name="message" type="xs:string"/><xs:attribute name="type" type="xs:string"/>
  </xs:complexType>
  <xs:attributeGroup name="counts">
    <xs:attribute name="name" type="xs:string" use="required"/>
    <xs:attribute name="time" type="seconds"/>
    <xs:attribute name="tests" type="xs:nonNegativeInteger" use="required"/>
    <xs:attribute name="failures" type="xs:nonNegativeInteger" use="required"/>
    <xs:attribute name="errors" type="xs:nonNegativeInteger" use="required"/>
  </xs:attributeGroup>
  <xs:element name="testcase"><xs:complexType>
    <xs:choice minOccurs="0" maxOccurs="unbounded">
      <xs:element name="skipped" type="outcome"/><xs:element name="failure" type="outcome"/>
      <xs:element name="system-out" type="xs:string"/>
    </xs:choice>
    <xs:attribute name="name" type="xs:string" use="required"/>
    <xs:attribute name="classname" type="xs:string"/><xs:attribute name="time" type="seconds"/>
  </xs:complexType></xs:element>
  <xs:element name="testsuite"><xs:complexType>
    <xs:sequence><xs:element ref="testcase" minOccurs="0" maxOccurs="unbounded"/></xs:sequence>
    <xs:attributeGroup ref="counts"/>
    <xs:attribute name="skipped" type="xs:nonNegativeInteger"/>
    <xs:attribute name="timestamp" type="xs:dateTime"/>
  </xs:complexType></xs:element>
  <xs:element name="testsuites"><xs:complexType>
    <xs:sequence><xs:element ref="testsuite" minOccurs="0" maxOccurs="unbounded"/></xs:sequence>
    <xs:attributeGroup ref="counts"/>
  </xs:complexType></xs:element>
</xs:schema>""")
)


@pytest.mark.parametrize("night", range(len(NIGHTS)))
def test_junit_is_what_jenkins_reads_and_its_counts_are_those_of_its_cases(
    written: Written, night: int
) -> None:
    root = etree.fromstring(written[night]["junit"])
    JUNIT.assertValid(root)
    (suite,) = root
    counts = [int(suite.get(name)) for name in ("tests", "failures", "skipped")]
    cases = [suite.findall(path) for path in ("testcase", "*/failure", "*/skipped")]
    assert counts == [len(found) for found in cases]
    assert counts == [[4, 1, 1], [4, 1, 1], [4, 0, 0]][night]


@pytest.mark.parametrize("night", range(len(NIGHTS)))
def test_the_bill_of_materials_passes_cyclonedx_own_validator(written: Written, night: int) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    text = written[night]["cyclonedx"].decode()
    assert validator.validate_str(text) is None
    # A check that cannot fail is none.
    assert validator.validate_str(re.sub('"name"', '"nom"', text, count=1)) is not None

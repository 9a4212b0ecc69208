"""JUnit XML: the audit is a suite, a class a case, so that a CI shows it like any test."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from audit.findings import ClassFinding, Findings, RunFacts, Verdict
from audit.report.sentences import english
from audit.report.sentences.history import review_line, waiting_line
from audit.report.untrusted import clean_text, discreet_name


def junit(findings: Findings, facts: RunFacts) -> bytes:
    """A case a class: failed where suspect, skipped where inconclusive, waived or not confirmed.

    Parameters
    ----------
    findings, facts : Findings, RunFacts
        Of one run.

    Returns
    -------
    bytes
        XML in UTF-8, in the form that Jenkins, GitLab and GitHub's actions read.
    """
    audit = clean_text(findings.audit.name, 200)
    suite = ET.Element("testsuite", name=audit, timestamp=facts.started.removesuffix("Z"))
    for finding in findings.findings:
        case = ET.SubElement(
            suite, "testcase", classname=audit, name=discreet_name(finding.label_name), time="0"
        )
        _outcome(case, finding, findings)
    counts = {
        "tests": len(suite),
        "failures": len(suite.findall("testcase/failure")),
        "errors": 0,
        "skipped": len(suite.findall("testcase/skipped")),
        "time": 0,
    }
    suite.attrib.update({name: str(count) for name, count in counts.items()})
    suites = ET.Element("testsuites", {"name": audit, **suite.attrib})
    # What the schema of Jenkins's xUnit plug-in knows of a suite alone.
    del suites.attrib["timestamp"], suites.attrib["skipped"]
    suites.append(suite)
    ET.indent(suites)
    written: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _outcome(case: ET.Element, finding: ClassFinding, findings: Findings) -> None:
    reasons = [clean_text(english(reason)) for reason in finding.reasons]
    first = reasons[0] if reasons else finding.verdict.value
    suspect = finding.verdict is Verdict.SUSPECT
    # A waiver outlives its class's repair, and then hides nothing.
    if suspect and finding.label_name in findings.waived:
        reviewed = [r for r in findings.reviews if r.review.label_name == finding.label_name]
        ET.SubElement(case, "skipped", message=review_line(reviewed[0]))
    elif suspect and finding.label_name in findings.waiting:
        ET.SubElement(case, "skipped", message=f"{waiting_line()} {first}")
    elif finding.verdict is Verdict.INCONCLUSIVE:
        ET.SubElement(case, "skipped", message=first)
    elif suspect:
        failure = ET.SubElement(case, "failure", type=finding.kind.value, message=first)
        failure.text = "\n".join(reasons)
        return
    if reasons:
        ET.SubElement(case, "system-out").text = "\n".join(reasons)

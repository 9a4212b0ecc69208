"""SARIF 2.1.0 (OASIS): one alert a suspect class, which closes by itself once it is repaired."""

from __future__ import annotations

import json

from audit.findings import (
    Change,
    ClassFinding,
    Findings,
    Kind,
    RunFacts,
    Strength,
    Verdict,
    finding_id,
)
from audit.report.sentences import english
from audit.report.sentences.history import review_line, waiting_line
from audit.report.untrusted import clean_text, discreet_name
from audit.run_folder import file_slug

_RULES = {
    Kind.OWN_SHORTCUT: (
        "own-shortcut",
        "The class depends on its own background",
        "Exchanging the background for another class's costs the class probability and decisions: "
        "the model leans on the usual background.",
    ),
    Kind.VICTIM: (
        "affected-class",
        "The class loses its votes to another class's background",
        "On the background of another class the model answers with that class.",
    ),
    Kind.NONE: (
        "background-dependence",
        "The class depends on the background",
        "Exchanging the background for another class's costs the class probability and decisions.",
    ),
}
_STATES = {
    Change.NEW: "new",
    Change.FIRST_SEEN: "new",
    Change.UNCHANGED: "unchanged",
}


def sarif(findings: Findings, facts: RunFacts) -> bytes:
    """Write the suspect classes as results, each with a fingerprint that runs share.

    A class that is no longer suspect has no result, by which code scanning closes its alert.

    Parameters
    ----------
    findings, facts : Findings, RunFacts
        Of one run.

    Returns
    -------
    bytes
        JSON in UTF-8.
    """
    suspects = findings.with_verdict(Verdict.SUSPECT)
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "Saliency Audit",
                        "version": facts.versions.get("saliency-audit", "unknown"),
                        "rules": [_rule(kind) for kind in _RULES],
                    }
                },
                # Alerts of one audit are closed by its own runs alone.
                "automationDetails": {
                    "id": f"saliency-audit/{file_slug(findings.audit.name)}/{facts.run_id}"
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, findings) for finding in suspects],
                "properties": {
                    "model": facts.hashes.model,
                    "images": facts.hashes.data,
                    "controlsFailed": [one.name.value for one in findings.failed_controls],
                },
            }
        ],
    }
    return (json.dumps(log, indent=1, ensure_ascii=True) + "\n").encode()


def _rule(kind: Kind) -> dict[str, object]:
    name, short, full = _RULES[kind]
    return {
        "id": f"saliency-audit/{name}",
        "shortDescription": {"text": short},
        "fullDescription": {"text": full},
        "defaultConfiguration": {"level": "error"},
    }


def _level(finding: ClassFinding, *, waits: bool) -> str:
    """A note fails no check of code scanning, as a class that waits fails no gate."""
    if waits:
        return "note"
    return "error" if finding.strength is Strength.STRONG else "warning"


def _result(finding: ClassFinding, findings: Findings) -> dict[str, object]:
    name = discreet_name(finding.label_name)
    message = " ".join(clean_text(english(reason)) for reason in finding.reasons)
    waits = finding.label_name in findings.waiting
    if waits:
        message = f"{waiting_line()} {message}"
    result = {
        "ruleId": f"saliency-audit/{_RULES[finding.kind][0]}",
        "ruleIndex": list(_RULES).index(finding.kind),
        "level": _level(finding, waits=waits),
        "message": {"text": f"{name}: {message or 'suspect'}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": "manifest.yaml"},
                    "region": {"startLine": 1},
                },
                "logicalLocations": [{"name": name, "fullyQualifiedName": f"class {name}"}],
            }
        ],
        "partialFingerprints": {
            "saliencyAuditFinding/v1": finding_id(findings.audit.name, finding.label_name)
        },
        "properties": {
            "backgroundGap": finding.background_gap,
            "backgroundGapLow": finding.background_gap_low,
            "backgroundGapHigh": finding.background_gap_high,
            "qValue": finding.q_value,
        },
    }
    if findings.comparison is not None:
        changes = {one.label_name: one.change for one in findings.comparison.classes}
        result["baselineState"] = _STATES.get(changes[finding.label_name], "updated")
    waivers = [r for r in findings.reviews if r.review.label_name == finding.label_name]
    if waivers and waivers[0].is_waived:
        result["suppressions"] = [
            {"kind": "external", "status": "accepted", "justification": review_line(waivers[0])}
        ]
    return result

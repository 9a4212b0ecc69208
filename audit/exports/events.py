"""What happened in a run, as events that automations can answer to.

=====================================  =========================================================
``saliency-audit.class.new``           a class is suspect that was not, or was not there
``saliency-audit.class.worsened``      a class lost more than in the run before
``saliency-audit.class.fixed``         a class was suspect, and its effect is now excluded
``saliency-audit.audit.completed``     once a run, whatever was found
=====================================  =========================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NotRequired, TypedDict

from audit.findings import Change, ClassFinding, Findings, Verdict, outcome
from audit.history.confirmed import newly_confirmed
from audit.report.sentences.outcome import outcome_line
from audit.report.untrusted import cleaned
from audit.run_folder import file_slug

CLASSES = 200
"""Classes that have an event of their own, at most; the rest is in the run folder."""
_NAMED = 20
"""Classes that the event of the audit names, at most, of each kind."""
_WORDS: Mapping[Change, str] = {
    Change.NEW: "new",
    Change.WORSENED: "worsened",
    Change.FIXED: "fixed",
}


class Event(TypedDict):
    """What happened to which resource, and what is told of it."""

    event: str
    resource: dict[str, str]
    related: NotRequired[list[dict[str, str]]]
    payload: dict[str, str | float | bool | list[str] | None]


def events_of(findings: Findings, report_url: str = "") -> Iterator[Event]:
    """The events of a finished run: its classes first, then the audit itself.

    Parameters
    ----------
    findings : Findings
        Of the run, with its comparison. Who waived a class is not told of it again.
    report_url : str
        Where the report can be opened; "" where nobody but the worker can.
    """
    findings = cleaned(findings)
    changes = changed_classes(findings)
    changed = [(word, one) for word, classes in changes.items() for one in classes][:CLASSES]
    for word, finding in changed:
        yield _class_event(word, finding, findings, report_url)
    yield _audit_event(findings, changes, report_url)


def changed_classes(findings: Findings) -> dict[str, list[ClassFinding]]:
    """The classes that are ``new``, ``worsened`` or ``fixed``, without those that are waived.

    What is suspect in a first run, or where no earlier run had the class, is new; what waits for
    another audit is so once that confirms it.
    """
    found: dict[str, list[ClassFinding]] = {word: [] for word in _WORDS.values()}
    comparison = findings.comparison
    changes = {one.label_name: one.change for one in comparison.classes} if comparison else {}
    quiet = {*findings.waived, *findings.waiting}
    confirmed = newly_confirmed(findings)
    for finding in findings.findings:
        change = changes.get(finding.label_name, Change.FIRST_SEEN)
        if change is Change.FIRST_SEEN and finding.verdict is Verdict.SUSPECT:
            change = Change.NEW
        if finding.label_name in confirmed:
            change = Change.NEW
        if change in _WORDS and finding.label_name not in quiet:
            found[_WORDS[change]].append(finding)
    return found


def _audit_labels(findings: Findings) -> dict[str, str]:
    name = findings.audit.name
    return {
        "prefect.resource.id": f"saliency-audit.audit.{file_slug(name)}",
        "prefect.resource.name": name,
    }


def _class_event(word: str, finding: ClassFinding, findings: Findings, report_url: str) -> Event:
    audit, gap = file_slug(findings.audit.name), finding.estimate("background_gap")
    return {
        "event": f"saliency-audit.class.{word}",
        "resource": {
            "prefect.resource.id": f"saliency-audit.class.{audit}.{file_slug(finding.label_name)}",
            "prefect.resource.name": finding.label_name,
            "saliency-audit.audit": findings.audit.name,
            "saliency-audit.verdict": finding.verdict.value,
        },
        "related": [{**_audit_labels(findings), "prefect.resource.role": "audit"}],
        "payload": {
            "class": finding.label_name,
            "audit": findings.audit.name,
            "change": word,
            "verdict": finding.verdict.value,
            "kind": finding.kind.value,
            "gap": gap.value,
            "gap_low": gap.low,
            "gap_high": gap.high,
            "report": report_url,
        },
    }


def _audit_event(
    findings: Findings, changes: Mapping[str, Sequence[ClassFinding]], report_url: str
) -> Event:
    summary = findings.summary
    alarm = bool(changes["new"] or changes["worsened"] or not summary.gate_passed)
    return {
        "event": "saliency-audit.audit.completed",
        "resource": {
            **_audit_labels(findings),
            "saliency-audit.outcome": outcome(findings).value,
            "saliency-audit.gate": "passed" if summary.gate_passed else "failed",
            # What an automation asks before it wakes somebody.
            "saliency-audit.alarm": "yes" if alarm else "no",
        },
        "payload": {
            "audit": findings.audit.name,
            "outcome": outcome(findings).value,
            "message": outcome_line(findings),
            "gate_passed": summary.gate_passed,
            **{verdict.value: getattr(summary, verdict.value) for verdict in Verdict},
            **{word: _names(classes) for word, classes in changes.items()},
            "report": report_url,
        },
    }


def _names(classes: Sequence[ClassFinding]) -> list[str]:
    left_out = len(classes) - _NAMED
    more = [f"and {left_out} more"] if left_out > 0 else []
    return [finding.label_name for finding in classes[:_NAMED]] + more

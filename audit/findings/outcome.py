"""How a run ended, in one word that the command line, its exit code and the flow's state share."""

from __future__ import annotations

from enum import StrEnum

from audit.findings.record import Findings


class Outcome(StrEnum):
    """The word; the name of the state in Prefect."""

    GATE_FAILED = "GateFailed"
    NOTHING_JUDGED = "NothingJudged"
    INCOMPLETE = "Incomplete"
    SUSPECT_CLASSES = "SuspectClasses"
    UNCHANGED = "Unchanged"
    COMPLETED = "Completed"


def outcome(findings: Findings) -> Outcome:
    """The most urgent word that is true of a run.

    A run that judged no class has nothing that a gate could pass or fail, and a suspect class of
    an incomplete run still fails the gate.
    """
    summary = findings.summary
    if summary.inconclusive == summary.classes:
        return Outcome.NOTHING_JUDGED
    if not summary.gate_passed and (summary.complete or summary.suspect):
        return Outcome.GATE_FAILED
    if not summary.complete:
        return Outcome.INCOMPLETE
    if summary.suspect:
        return Outcome.SUSPECT_CLASSES
    comparison = findings.comparison
    return Outcome.UNCHANGED if comparison and comparison.is_unchanged else Outcome.COMPLETED

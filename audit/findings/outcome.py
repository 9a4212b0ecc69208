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
    an incomplete run still fails the gate. A night on what an earlier one audited is
    ``Unchanged``, with suspect classes too, unless its gate fails.
    """
    summary = findings.summary
    if summary.inconclusive == summary.classes:
        return Outcome.NOTHING_JUDGED
    if not summary.gate_passed and (summary.complete or summary.suspect):
        return Outcome.GATE_FAILED
    if not summary.complete:
        return Outcome.INCOMPLETE
    comparison = findings.comparison
    if comparison and comparison.is_repeat:
        return Outcome.UNCHANGED
    if summary.suspect:
        return Outcome.SUSPECT_CLASSES
    return Outcome.UNCHANGED if comparison and comparison.is_unchanged else Outcome.COMPLETED

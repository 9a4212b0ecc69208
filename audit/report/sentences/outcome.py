"""How a run ended, in English: for the terminal, the log and the state of the flow."""

from __future__ import annotations

from collections.abc import Mapping

from audit.findings import Findings, Outcome, Verdict, outcome
from audit.report.formatting import plural
from audit.report.sentences import failed

_MEANS: Mapping[Outcome, str] = {
    Outcome.GATE_FAILED: "The gate {gate!r} failed.",
    Outcome.NOTHING_JUDGED: "No class could be judged, so nothing is known of the model.",
    Outcome.INCOMPLETE: "Incomplete: too few images could be measured, and nothing is called "
    "clear; see problems.csv.",
    Outcome.SUSPECT_CLASSES: "{suspects} found suspect.",
    Outcome.COMPLETED: "No class was found suspect.",
}


def tally(findings: Findings) -> str:
    """How many classes have each verdict, all four."""
    return ", ".join(f"{findings.summary.count(verdict)} {verdict}" for verdict in Verdict)


def ending(findings: Findings) -> str:
    """Say how a run ended, with all four counts."""
    suspects = plural(findings.summary.suspect, "class", "classes")
    means = _MEANS[outcome(findings)].format(gate=findings.summary.gate, suspects=suspects)
    return f"{tally(findings)}. {means}"


def outcome_line(findings: Findings) -> str:
    """The same, and which checks of itself the run did not pass."""
    return " ".join([ending(findings), *map(failed, findings.failed_controls)])

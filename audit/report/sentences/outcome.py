"""How a run ended, in English: for the terminal, the log and the state of the flow."""

from __future__ import annotations

from collections.abc import Mapping

from audit.findings import Comparison, Findings, Outcome, Verdict, outcome
from audit.report.formatting import plural
from audit.report.i18n import ENGLISH, spoken
from audit.report.sentences import english, failed
from audit.report.sentences.history import changes_line

SAID = 5
"""Reasons of a failed gate that are said, at most."""
_MEANS: Mapping[Outcome, str] = {
    Outcome.GATE_FAILED: "The gate {gate!r} failed.",
    Outcome.NOTHING_JUDGED: "No class could be judged, so nothing is known of the model.",
    Outcome.INCOMPLETE: "Incomplete: too few images could be measured, and {clear}; see "
    "problems.csv.",
    Outcome.SUSPECT_CLASSES: "{suspects} found suspect.",
    Outcome.UNCHANGED: "No class was found suspect, and none has changed.",
    Outcome.COMPLETED: "No class was found suspect.",
}


def tally(findings: Findings) -> str:
    """How many classes have each verdict, all four."""
    return ", ".join(f"{findings.summary.count(verdict)} {verdict}" for verdict in Verdict)


def ending(findings: Findings) -> str:
    """Say how a run ended, with all four counts, why a gate failed, and what changed."""
    summary, comparison, ended = findings.summary, findings.comparison, outcome(findings)
    is_repeat = comparison is not None and comparison.is_repeat
    suspects = plural(summary.suspect, "class", "classes")
    # Classes without a single foreground leave the verdicts of the others as they are.
    clear = "some classes are not judged" if summary.clear else "nothing is called clear"
    parts = [_MEANS[ended].format(gate=summary.gate, suspects=suspects, clear=clear)]
    if comparison is not None and is_repeat:
        # That nothing changed, it says better.
        parts[ended is not Outcome.UNCHANGED :] = [_repeated(comparison, suspects)]
    parts += map(english, summary.gate_failures[:SAID])
    if len(summary.gate_failures) > SAID:
        parts.append(f"And {len(summary.gate_failures) - SAID} more reasons.")
    if findings.waiting:
        waiting_classes = plural(len(findings.waiting), "class waits", "classes wait")
        parts.append(f"{waiting_classes} for another audit before somebody is called.")
    if comparison is not None and not is_repeat:
        with spoken(ENGLISH):
            parts.append(changes_line(comparison))
    return f"{tally(findings)}. {' '.join(parts)}"


def _repeated(comparison: Comparison, suspects: str) -> str:
    """Which run stands for a night that found the same images, model and settings."""
    earlier = comparison.earlier
    return (
        f"Images, model and settings are those of {earlier.folder}, begun {earlier.started}; "
        f"nothing was measured again, and its report holds: {suspects} found suspect."
    )


def outcome_line(findings: Findings) -> str:
    """The same, and which checks of itself the run did not pass."""
    return " ".join([ending(findings), *map(failed, findings.failed_controls)])

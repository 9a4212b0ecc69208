"""When a run raises an alarm. A gate fails closed: what could not be judged has not passed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from audit.findings import (
    Change,
    ClassChange,
    Code,
    Comparability,
    Findings,
    Reason,
    Verdict,
)
from audit.history.confirmed import newly_confirmed


def gate_failures(gate: str, findings: Findings) -> tuple[Reason, ...]:
    """Why a run does not pass; empty where it does.

    Parameters
    ----------
    gate : str
        ``never`` passes always; ``suspect`` lets no suspect class pass; ``new`` those alone that
        were suspect before; ``worsened`` of those only what has not got worse.
    findings : Findings
        With the comparison to the run before and the reviews: a waived class passes, and one that
        waits for another audit.
    """
    return tuple(GATES[gate](findings))


def _never(findings: Findings) -> Iterator[Reason]:
    return iter(())


def _suspect(findings: Findings) -> Iterator[Reason]:
    yield from _unjudged(findings)
    for finding in findings.with_verdict(Verdict.SUSPECT):
        if finding.label_name not in (*findings.waived, *findings.waiting):
            yield _failed(Code.GATE_SUSPECT, finding.label_name)


def _new(findings: Findings) -> Iterator[Reason]:
    comparison = findings.comparison
    if comparison is None or comparison.comparability is Comparability.NOT_COMPARABLE:
        # Nothing says that a class was suspect before.
        yield from _suspect(findings)
        return
    yield from _unjudged(findings)
    confirmed = newly_confirmed(findings)
    for change in comparison.classes:
        if change.label_name in (*findings.waived, *findings.waiting):
            continue
        is_new = change.earlier is not Verdict.SUSPECT or change.label_name in confirmed
        if change.later is Verdict.SUSPECT and is_new:
            yield _failed(Code.GATE_NEW, change.label_name)
        elif change.change is Change.NOT_MEASURED and change.later is not None:
            yield _failed(Code.GATE_NOT_MEASURED, change.label_name)


def _worsened(findings: Findings) -> Iterator[Reason]:
    yield from _new(findings)
    comparison = findings.comparison
    for change in comparison.classes if comparison else ():
        if change.label_name in (*findings.waived, *findings.waiting):
            continue
        if _may_be_worse(change):
            yield _failed(Code.GATE_WORSENED, change.label_name)


def _may_be_worse(change: ClassChange) -> bool:
    """Whether it got worse, or was suspect before and nobody can say that it did not."""
    unsure = change.change is Change.UNSURE and change.earlier is Verdict.SUSPECT
    return change.change is Change.WORSENED or (unsure and change.later is Verdict.SUSPECT)


def _unjudged(findings: Findings) -> Iterator[Reason]:
    summary = findings.summary
    if summary.inconclusive == summary.classes:
        yield Reason(code=Code.GATE_NOTHING_JUDGED)
    elif not summary.complete:
        yield Reason(code=Code.GATE_INCOMPLETE)


def _failed(code: Code, label_name: str) -> Reason:
    return Reason(code=code, values={"label_name": label_name})


GATES: Mapping[str, Callable[[Findings], Iterator[Reason]]] = {
    "never": _never,
    "suspect": _suspect,
    "new": _new,
    "worsened": _worsened,
}
"""The manifest's ``gate``."""

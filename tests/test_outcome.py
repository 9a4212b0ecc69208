"""How a run ends: one word, one exit code and one state, and they agree."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from record import finding, findings

from audit.findings import (
    Comparability,
    Comparison,
    Findings,
    Outcome,
    RunName,
    Verdict,
    outcome,
)
from audit.report.sentences.outcome import ending
from audit.run_folder import RunFolder
from flows.cli.outcome import EXIT_CODES
from flows.outcome import GateError, flow_state


def ended(*verdicts: Verdict, **summary: Any) -> Findings:
    classes = [
        finding(f"class {number}", verdict, label=number) for number, verdict in enumerate(verdicts)
    ]
    record = findings(*classes)
    return record.model_copy(update={"summary": record.summary.model_copy(update=summary)})


S, W, U, C = Verdict.SUSPECT, Verdict.WATCH, Verdict.INCONCLUSIVE, Verdict.CLEAR
CASES = [
    (ended(C, C, W), Outcome.COMPLETED, 0, "COMPLETED"),
    (ended(S, C), Outcome.SUSPECT_CLASSES, 0, "COMPLETED"),
    (ended(S, U, gate="suspect", gate_passed=False), Outcome.GATE_FAILED, 3, "FAILED"),
    (ended(U, U, U), Outcome.NOTHING_JUDGED, 4, "COMPLETED"),
    # What could not be judged has not passed, and is not the fault of a class.
    (ended(U, U, gate="suspect", gate_passed=False), Outcome.NOTHING_JUDGED, 4, "FAILED"),
    (ended(), Outcome.NOTHING_JUDGED, 4, "COMPLETED"),
    (ended(C, U, complete=False), Outcome.INCOMPLETE, 4, "COMPLETED"),
    (ended(S, U, complete=False), Outcome.INCOMPLETE, 4, "COMPLETED"),
    (
        ended(C, U, complete=False, gate="suspect", gate_passed=False),
        Outcome.INCOMPLETE,
        4,
        "FAILED",
    ),
    (
        ended(S, U, complete=False, gate="suspect", gate_passed=False),
        Outcome.GATE_FAILED,
        3,
        "FAILED",
    ),
]


def repeated(*verdicts: Verdict, **summary: Any) -> Findings:
    """A night on what an earlier one audited."""
    record = ended(*verdicts, **summary)
    name = RunName(folder="night-7", run_id="seven", started="2026-11-07T00:00:00Z", model="a")
    itself = Comparison(
        earlier=name,
        later=name,
        comparability=Comparability.PAIRED,
        margin=0.05,
        model_changed=False,
        images_changed=False,
    )
    return record.model_copy(update={"comparison": itself})


CASES += [
    (repeated(C, W), Outcome.UNCHANGED, 0, "COMPLETED"),
    (repeated(S, C), Outcome.UNCHANGED, 0, "COMPLETED"),
    (repeated(S, C, gate="suspect", gate_passed=False), Outcome.GATE_FAILED, 3, "FAILED"),
    (repeated(U, U), Outcome.NOTHING_JUDGED, 4, "COMPLETED"),
    (repeated(C, U, complete=False), Outcome.INCOMPLETE, 4, "COMPLETED"),
]


def test_a_repeated_night_names_the_run_that_stands_for_it() -> None:
    for record in (repeated(S, C), repeated(S, C, gate="suspect", gate_passed=False)):
        said = ending(record)
        assert "night-7" in said
        assert "1 class found suspect" in said
        assert "No class was found suspect" not in said
    assert "'suspect' failed" in said


@pytest.mark.parametrize(("record", "word", "code", "kind"), CASES)
def test_word_exit_code_and_state_agree(
    record: Findings, word: Outcome, code: int, kind: str
) -> None:
    assert outcome(record) is word
    assert EXIT_CODES.get(word, 0) == code
    state = flow_state(record, RunFolder(Path("run")))
    assert (state.name, state.type.value) == (word.value, kind)
    # The last line on the terminal is the beginning of the state's message.
    assert state.message == ending(record)
    for verdict in Verdict:
        assert f"{record.summary.count(verdict)} {verdict}" in ending(record)


def test_a_failed_gate_is_an_exception_for_who_asks_for_the_result() -> None:
    state = flow_state(ended(S, gate="suspect", gate_passed=False), RunFolder(Path("run")))
    assert state.is_failed()
    assert isinstance(state.data, GateError)
    passed = flow_state(ended(S), RunFolder(Path("run")))
    assert passed.data["suspect"] == 1


def test_the_terminal_is_kept_free_of_prefect_and_of_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from prefect.logging.handlers import PrefectConsoleHandler

    from flows.cli.run import _leave_terminal_to_steps

    handler = PrefectConsoleHandler()
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    _leave_terminal_to_steps()

    def shown(name: str) -> bool:
        return bool(handler.filter(logging.makeLogRecord({"name": name, "msg": "x"})))

    assert not shown("prefect.flow_runs")
    assert shown("audit.pipeline.prepare")
    assert shown("prefect_of_somebody_else")

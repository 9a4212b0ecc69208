"""Planted canaries: what must not be repeated stands in no output for people."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record import finding, findings

from audit import secrets
from audit.dataset.samples import Skipped
from audit.errors import SampleError
from audit.findings import Verdict
from audit.measuring.collect import _skipped_row, write_problems
from audit.pipeline.compose import _to_csv
from audit.run_folder import RunFolder
from audit.secrets import guarded, remember, with_names
from audit.verdicts.tables import class_table
from flows.cli.outcome import show_findings

CANARIES = ("hunter22", "SECRETKEY", "annsmith", "s3cr3t-value")
NAMES = (
    "https://ann:hunter22@host/cats",
    "s3://bucket/cats?signature=SECRETKEY",
    "/home/annsmith/cats/tabby",
    "C:\\Users\\annsmith\\cats\\tabby",
    "~annsmith/cats/tabby",
)


def clean(text: str) -> bool:
    return not [canary for canary in CANARIES if canary in text]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is remembered here must not stand in the messages of other tests.
    monkeypatch.setattr(secrets, "_values", {})
    remember("PLANTED", "s3cr3t-value")


plain = st.text(st.characters(exclude_characters="$\x01"), max_size=20)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_looks_like_an_address_or_a_home_is_masked(name: str) -> None:
    if not name.startswith("~ann"):
        assert clean(guarded(f"cannot read {name} (OSError)"))
    assert guarded(guarded(name)) == guarded(name)
    assert guarded("tabby cat, 3/4 view: e.g. a/b?") == "tabby cat, 3/4 view: e.g. a/b?"


def test_an_error_of_ours_names_the_variable() -> None:
    assert str(SampleError("MISSING", "no /x/s3cr3t-value")) == "MISSING: no /x/${PLANTED}"


@given(plain.filter(lambda text: len(text) >= secrets.SHORTEST), plain, plain)
def test_a_remembered_value_is_never_left(value: str, before: str, after: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "_values", {})
        remember("NAME", value)
        shown = with_names(before + value + after)
    assert "${NAME}" in shown
    assert value not in shown.replace("${NAME}", "\x01")


def test_tables_and_terminal_hold_no_canary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [*NAMES[:4], "s3cr3t-value"]
    write_problems(
        tmp_path / "problems.csv",
        (_skipped_row(Skipped("a.png", "BAD", f"see {name}", name)) for name in names),
    )
    classes = [finding(name, Verdict.SUSPECT, label=i) for i, name in enumerate(NAMES[:4])]
    record = findings(*classes)
    _to_csv(class_table(classes, "run", lambda _: NAMES[0]), tmp_path / "classes.csv")
    for file in ("problems.csv", "classes.csv"):
        text = (tmp_path / file).read_text()
        assert clean(text), text
        assert "tabby" in text
    show_findings(record, RunFolder(tmp_path))
    shown = capsys.readouterr().err
    assert clean(shown), shown


def test_the_log_of_a_run_holds_no_canary(tmp_path: Path) -> None:
    from audit.pipeline.run_log import STEPS, logged

    with logged(RunFolder(tmp_path)):
        for name in NAMES[:4]:
            STEPS.info("ended early: %s", name)
        logging.getLogger("audit.dataset").warning("of s3cr3t-value")
    text = (tmp_path / "run.log").read_text()
    assert clean(text), text
    assert text.count("\n") == 5
    assert "${PLANTED}" in text

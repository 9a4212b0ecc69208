"""Run an audit for a person at a terminal: progress while it works, findings at the end."""

from __future__ import annotations

import shlex
import traceback
from pathlib import Path
from typing import Any

from prefect.exceptions import TerminationSignal
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit.cancellation import Stopped
from audit.errors import AuditError, RunFolderError
from audit.manifest import load_manifest
from audit.pipeline import decide, measure, prepare
from audit.pipeline.runs import run_folder_for
from audit.pipeline.session import AuditRequest, open_session
from audit.report.render import render_report
from audit.report.style import keep_style
from audit.run_folder import RunFolder, write_bytes
from flows.audit_dataset import audit_dataset
from flows.progress import reporter
from flows.runners import task_runner

_COLOURS = {"suspect": "bold red", "watch": "yellow", "inconclusive": "dim", "clear": "green"}


def run_audit(
    manifest: str,
    *,
    out: str | None,
    resume: bool,
    limit: int | None,
    device: str,
    runner: str,
    overrides: list[str],
    gate: str | None,
    console: Console,
) -> dict[str, Any]:
    """Run the flow and show what it found; returns the summary, with the paths of the reports.

    Raises
    ------
    InputError
        Something given is wrong; nothing has been computed.
    AuditError
        The work failed; finished shards are kept.
    Stopped
        The process was asked to end; finished shards are kept, too.
    """
    laid_over = tuple(overrides) + ((f"gate={gate}",) if gate else ())
    request = AuditRequest(manifest, "", laid_over, limit, device)
    with console.status("checking manifest, dataset and model"):
        open_session(request)
        request = run_folder_for(request, out, resume=resume)
    with request.run.locked():
        # Before Prefect: a mistake in the input ends here, with one message.
        prepare.prepare(request, resume=resume)
        console.print(f"Auditing into {escape(_shown(request.run.path))}")
        with reporter.shown(console):
            try:
                state = audit_dataset.with_options(task_runner=task_runner(runner))(
                    manifest=manifest,
                    out=request.out,
                    resume=True,
                    limit=limit,
                    device=device,
                    overrides=list(overrides),
                    gate=gate,
                    return_state=True,
                )
            except (Stopped, TerminationSignal):
                # Maybe before the flow began, so that it could not say so itself.
                decide.mark_failed(request.run)
                raise Stopped from None
        if not state.is_completed():
            raise _failure(state, request.run)
    findings = decide.read_findings(request.run)
    show_findings(findings, request.run, console)
    summary: dict[str, Any] = findings["summary"]
    return {
        **summary,
        "run_folder": str(request.run.path),
        "reports": [str(path) for path in _reports(request.run)],
    }


def _failure(state: Any, run: RunFolder) -> BaseException:
    """What ended the flow, as an error of ours."""
    try:
        state.result()
    except AuditError as error:
        return error
    except Exception as error:
        # The message is for people; the traceback is for whoever mends it.
        write_bytes(run.path / "error.txt", traceback.format_exc().encode())
        return AuditError(
            f"failed during work: {type(error).__name__}: {error}. Finished shards are kept, and "
            f"the same command goes on from there; details in {_shown(run.path / 'error.txt')}."
        )
    return AuditError(f"the flow ended as {state.name}: {state.message}")


def report_again(
    run_dir: Path, manifest: str | None, overrides: tuple[str, ...], console: Console
) -> dict[str, Any]:
    """Decide and render again from the stored scores; loads no model."""
    run = RunFolder(run_dir.resolve())
    if not run.scores.exists() or not run.run_json.exists():
        raise RunFolderError(f"{run_dir}: no finished scores here. Run the audit first.")
    declared = load_manifest(manifest or run.manifest, overrides)
    with run.locked():
        keep_style(run.path, declared)
        summary = decide.decide_classes(run, declared)
        decide.compose(run)
        with measure.timed(run, "report"):
            render_report(run.path, declared.report.formats, declared.report)
        decide.finish(run, summary)
    show_findings(decide.read_findings(run), run, console)
    return {**summary, "run_folder": str(run.path)}


def show_findings(findings: dict[str, Any], run: RunFolder, console: Console) -> None:
    """Print the findings as a table, most urgent first, and where the reports lie."""
    table = Table(title=escape(findings["audit"]["title"]), title_justify="left")
    for heading in ("class", "verdict", "kind"):
        table.add_column(heading)
    for heading in ("images", "accuracy", "gap (95 % interval)", "mass"):
        table.add_column(heading, justify="right")
    for f in findings["findings"][:60]:
        table.add_row(
            escape(f["label_name"][:60]),
            f"[{_COLOURS[f['verdict']]}]{f['verdict']}[/]",
            "" if f["kind"] == "none" else f["kind"].replace("_", " "),
            str(f["images"]),
            _number(f["recall"]),
            _interval(f),
            _number(f["foreground_mass"]),
        )
    console.print(table)
    left_out = len(findings["findings"]) - 60
    if left_out > 0:
        console.print(f"... and {left_out} more in {run.classes_csv.name}")
    if not findings["summary"]["complete"]:
        console.print("Incomplete: too few images could be measured; see problems.csv.")
    for path in _reports(run):
        console.print(f"Report: {escape(_shown(path))}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _interval(finding: dict[str, Any]) -> str:
    value, low, high = (finding[f"background_gap{end}"] for end in ("", "_low", "_high"))
    if value is None or low is None:
        return _number(value)
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"


def _reports(run: RunFolder) -> list[Path]:
    return [p for p in (run.path / "report.html", run.path / "report.pdf") if p.exists()]


def _shown(path: Path) -> str:
    """A path as short as can be, ready to be pasted."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))

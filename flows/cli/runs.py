"""``saliency-audit runs``: the runs of the audits in a folder, and which of them may go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from audit.secrets import guarded
from flows.cli.terminal import AsJson, err, print_json, shown

if TYPE_CHECKING:
    from audit.pipeline.retention import ListedRun

ACTIONS = ("list", "prune")


def runs(
    action: Annotated[str, typer.Argument(help="list, or prune what nothing needs.")] = "list",
    folder: Annotated[str, typer.Option("--runs", help="The folder that runs lie below.")] = "runs",
    keep: Annotated[
        int, typer.Option(min=1, help="Finished runs of each audit that stay in any case.")
    ] = 10,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it, say which.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the runs of each audit, or remove those that nothing needs any more."""
    from audit.pipeline.retention import list_runs, names_of, prune

    if action not in ACTIONS:
        raise typer.BadParameter(f"expected {' or '.join(ACTIONS)}, found {action!r}")
    found = list_runs(folder, keep)
    err.print(_table(found))
    gone = [one.run for one in found if not one.needed]
    if action == "prune":
        removed = prune(folder, keep) if yes else ()
        verb = "Removed" if yes else "Would remove (--yes does)"
        err.print(f"{verb}: {escape(', '.join(names_of(removed if yes else gone)) or 'none')}")
    if as_json:
        print_json({"runs": [_said(one) for one in found]})


def _table(runs: tuple[ListedRun, ...]) -> Table:
    table = Table(title_justify="left")
    for heading in ("audit", "run", "began (UTC)", "status", "suspect", "confirmed", "kept"):
        table.add_column(heading)
    for one in runs:
        summary = one.facts.summary
        table.add_row(
            escape(guarded(one.facts.name)[:40]),
            escape(shown(one.run.path)),
            one.facts.started,
            one.status,
            "" if summary is None else f"{summary.suspect} of {summary.classes}",
            one.facts.confirmed[-1] if one.facts.confirmed else "",
            ", ".join(one.needed) or "may go",
        )
    return table


def _said(one: ListedRun) -> dict[str, object]:
    summary = one.facts.summary
    return {
        "audit": one.facts.name,
        "run_folder": str(one.run.path),
        "run_id": one.facts.run_id,
        "started": one.facts.started,
        "status": one.status,
        "summary": summary.model_dump(mode="json") if summary else None,
        "confirmed": list(one.facts.confirmed),
        "kept": list(one.needed),
    }

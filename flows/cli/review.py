"""``saliency-audit review``: what a person decided about a class or a run, kept beside the runs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from flows.cli.terminal import AsJson, err, print_json, shown


def review(
    run_dir: Annotated[str, typer.Argument(help="The run folder that was read.")],
    by: Annotated[str, typer.Option(help="Who decided.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    label_name: Annotated[str | None, typer.Option("--class", help="Name of the class.")] = None,
    decision: Annotated[
        str | None,
        typer.Option(help="accept: it is right; dispute: it is wrong; waive: put up with it."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Last day on which it holds: 2027-01-31.")
    ] = None,
    accept_run: Annotated[
        bool, typer.Option("--accept-run", help="Lay later runs beside this one: the baseline.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sign off one finding: shown in the next reports, until it lapses. Or accept a run."""
    if accept_run:
        if label_name or decision or until:
            raise typer.BadParameter("--accept-run accepts all of a run: leave the others out")
        _accept(run_dir, by, reason, as_json)
        return
    if label_name is None or decision is None:
        raise typer.BadParameter("expected --class and --decision, or --accept-run")
    from audit.pipeline.review import review as write_review

    written = write_review(run_dir, label_name, decision, by=by, reason=reason, until=until)
    err.print(
        f"{escape(label_name)}: {written.review.decision} by {escape(by)}, kept in "
        f"{escape(shown(written.path))}. The next report shows it; so does `report`."
    )
    if as_json:
        print_json(written.review.model_dump(mode="json"))


def _accept(run_dir: str, by: str, reason: str, as_json: bool) -> None:
    from audit.pipeline.review import accept_run

    written = accept_run(run_dir, by=by, reason=reason)
    err.print(
        f"{escape(written.baseline.folder)}: accepted by {escape(by)}, kept in "
        f"{escape(shown(written.path))}. Later runs of this audit are laid beside it."
    )
    if as_json:
        print_json(written.baseline.model_dump(mode="json"))

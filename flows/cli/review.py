"""``saliency-audit review``: what a person decided about a class, kept beside the runs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from flows.cli.terminal import AsJson, err, print_json, shown


def review(
    run_dir: Annotated[str, typer.Argument(help="The run folder that was read.")],
    label_name: Annotated[str, typer.Option("--class", help="Name of the class.")],
    decision: Annotated[
        str,
        typer.Option(help="accept: it is right; dispute: it is wrong; waive: put up with it."),
    ],
    by: Annotated[str, typer.Option(help="Who decided.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    until: Annotated[
        str | None, typer.Option(help="Last day on which it holds: 2027-01-31.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sign off one finding: shown in the next reports, until it lapses."""
    from audit.pipeline.review import review as write_review

    written = write_review(run_dir, label_name, decision, by=by, reason=reason, until=until)
    err.print(
        f"{escape(label_name)}: {written.review.decision} by {escape(by)}, kept in "
        f"{escape(shown(written.path))}. The next report shows it; so does `report`."
    )
    if as_json:
        print_json(written.review.model_dump(mode="json"))

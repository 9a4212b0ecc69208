"""``saliency-audit cmv``: class model visualizations alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from flows.cli.terminal import Device, ManifestPath, Overrides, err


def cmv(
    manifest: ManifestPath,
    classes: Annotated[list[str] | None, typer.Option("--class", help="A class name.")] = None,
    objective: Annotated[
        str, typer.Option(help="logit, softmax, both, contrast or diversity.")
    ] = "both",
    against: Annotated[str | None, typer.Option(help="With contrast: this rival class.")] = None,
    out: Annotated[str, typer.Option(help="Where the folder cmv goes.")] = ".",
    device: Device = "auto",
    overrides: Overrides = None,
) -> None:
    """Make class model visualizations alone."""
    from audit.pipeline.cmvs import visualize_alone
    from audit.pipeline.opening import open_declared

    session = open_declared(manifest, overrides or (), device=device, contents=False)
    with err.status("making class model visualizations"):
        made = visualize_alone(session, tuple(classes or ()), objective, against, Path(out))
    for entry in made:
        err.print(
            f"{escape(str(Path(out) / entry.path))}  p = {entry.probability:.2f}, after "
            f"shifts {entry.robust_probability:.2f}{'  FAILED' if entry.failed else ''}"
        )

"""``saliency-audit repair``: the last layer refitted on swaps, and the proof of what it brings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows.cli.terminal import AsJson, Device, Overrides, err, print_json, shown

if TYPE_CHECKING:
    from audit.findings import Repair


def repair(
    run_dir: Annotated[str, typer.Argument(help="The run folder of a finished audit.")],
    manifest: Annotated[
        str, typer.Option(help="The manifest of that audit; the run's own copy loads no model.")
    ] = "data_manifest.yaml",
    out: Annotated[
        str | None, typer.Option(help="The folder to write; else RUN_DIR with -repair behind it.")
    ] = None,
    max_loss: Annotated[
        float,
        typer.Option(min=0, max=1, help="Accuracy on own backgrounds that may be lost, 0..1."),
    ] = 0.01,
    device: Device = "auto",
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Refit the last layer on the run's swaps, and audit it on images kept apart."""
    from audit.pipeline.repair import repair as repair_run
    from audit.pipeline.repair_source import folder_for
    from flows.cli.progress import shown_progress

    with shown_progress(err) as progress:
        found = repair_run(
            run_dir,
            manifest,
            out,
            device=device,
            overrides=overrides or (),
            max_loss=max_loss,
            progress=progress,
        )
    folder = folder_for(Path(run_dir).resolve(), out)
    _show(found, folder)
    if as_json:
        print_json({**found.model_dump(mode="json"), "folder": str(folder)})


def _show(found: Repair, folder: Path) -> None:
    """Print before against after, and where everything lies."""
    from audit.findings import Verdict
    from audit.report.formatting import share
    from audit.report.sentences.repairs import repair_outcome

    table = Table(title=f"Repair, proved on {found.images.proof} images", title_justify="left")
    table.add_column("class")
    for heading in ("verdict", "own background", "other backgrounds"):
        table.add_column(f"{heading}, before → after")
    for one in found.classes:
        verdicts = (one.verdict_before, one.verdict_after)
        if Verdict.SUSPECT in verdicts or one.is_worse or one.label_name in found.suspects:
            table.add_row(
                escape(one.label_name[:60]),
                f"{one.verdict_before} → {one.verdict_after}",
                f"{share(one.before.own.value)} → {share(one.after.own.value)}",
                f"{share(one.before.swapped_other.value)} → {share(one.after.swapped_other.value)}",
            )
    if found.classes:
        err.print(table)
    for sentence in repair_outcome(found):
        err.print(escape(sentence))
    if found.weights:
        err.print(f"New weights: {escape(shown(folder / found.weights))}")
        err.print(f"Their manifest: {escape(shown(folder / 'manifest.yaml'))}")
        for name in ("before", "after"):
            report = folder / name / "report.html"
            if report.exists():
                err.print(f"Report {name}: {escape(shown(report))}")
    err.print(
        f"For a retraining: {found.counter_examples} counter-examples, groups.csv and "
        f"to_photograph.csv in {escape(shown(folder))}"
    )

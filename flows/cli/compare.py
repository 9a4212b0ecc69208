"""``saliency-audit compare``: two runs beside each other, class by class."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows.cli.terminal import AsJson, err, print_json


def compare(
    run_a: Annotated[str, typer.Argument(help="The earlier run folder.")],
    run_b: Annotated[str, typer.Argument(help="The later run folder.")],
    as_json: AsJson = False,
) -> None:
    """Say class by class what changed between two runs, with intervals."""
    from audit.pipeline.compare import compare as compare_runs
    from audit.report.formatting import brief_interval, chance, points
    from audit.report.sentences.history import change_word, changes_line, comparability_line

    found = compare_runs(run_a, run_b)
    table = Table(
        title=escape(f"{found.earlier.folder} → {found.later.folder}"), title_justify="left"
    )
    for heading in ("class", "change", "verdict"):
        table.add_column(heading, no_wrap=heading == "change")
    for heading in ("gap", "difference (95 %)", "q", "seen from"):
        table.add_column(heading, justify="right")
    for one in found.classes[:60]:
        table.add_row(
            escape(one.label_name[:60]),
            change_word(one.change),
            f"{one.earlier or '-'} → {one.later or '-'}",
            f"{points(one.gap_earlier.value)} → {points(one.gap_later.value)}",
            brief_interval(one.difference),
            chance(one.q_value),
            points(one.detectable),
        )
    err.print(table)
    left_out = len(found.classes) - 60
    if left_out > 0:
        err.print(f"... and {left_out} more; --json has them all")
    err.print(escape(comparability_line(found)), highlight=False)
    err.print(escape(changes_line(found)), highlight=False)
    if as_json:
        print_json(found.model_dump(mode="json"))

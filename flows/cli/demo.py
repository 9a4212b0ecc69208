"""``saliency-audit demo``: the embedded demo as ordinary files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from flows.cli.terminal import err


def demo(
    out: Annotated[str, typer.Option(help="Where the demo goes.")] = "demo",
    seed: Annotated[int, typer.Option(help="Of the pictures and the training.")] = 0,
) -> None:
    """Make the embedded demo: images, masks, a model and the truth about it."""
    from flows.demo import make_demo

    with err.status("painting scenes and training a small network (under a minute)"):
        written = make_demo(Path(out), seed)
    err.print(f"The demo lies in {escape(str(Path(out)))}. Audit it with:")
    err.print(f"  saliency-audit run {escape(str(written))}")

"""What the commands share: the console for people, options, and JSON for scripts."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

FAILED, USAGE, GATE_FAILED, INCOMPLETE = 1, 2, 3, 4

err = Console(stderr=True, soft_wrap=True)

ManifestPath = Annotated[str, typer.Argument(help="The manifest file.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:i.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="key.path=value, laid over the manifest.")
]
AcceptAccuracy = Annotated[
    bool,
    typer.Option(
        "--accept-accuracy", help="Audit a model, too, that seems to guess or to be mislabelled."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]


def print_json(content: Any) -> None:
    """Print one JSON object to stdout."""
    sys.stdout.write(json.dumps(content, ensure_ascii=True) + "\n")


def shown(path: Path) -> str:
    """A path as short as can be, ready to be pasted."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))

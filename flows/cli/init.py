"""``saliency-audit init``: a first manifest for a dataset at hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.markup import escape

from audit.errors import ManifestError
from audit.manifest import load_manifest
from audit.run_folder import write_bytes
from flows.cli.terminal import err

_TEMPLATE = """\
# An audit, declared. Paths are relative to this file; ${{NAME}} takes a value from the environment.
version: 1
name: {name}

dataset:
  reader: {reader}          # image_folder | csv_index | "package.module:function"
  root: {root}
{index}
{foreground}
model:
{model}
  # One class name a line, in the order of the model's outputs:
  # classes: classes.txt
  # What the model was trained with; weights that bring their own need nothing here:
  # input: {{size: 224, resize: 256, crop: center,
  #         mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}}

# Everything below is the default.
saliency: {{method: gradcam, target: logit}}
interventions: {{donors: 4, fill: inpaint}}
cmv: {{classes: all, objectives: [logit, softmax], steps: 128}}
verdict: {{minimum_images: 20, effect: 0.10, fdr: 0.05}}
report: {{formats: [html, pdf]}}
gate: never                 # never | suspect | new
"""


def init(
    images: Annotated[str, typer.Option(help="Folder with one folder a class.")],
    model: Annotated[str, typer.Option(help='"resnet18:weights.pt" or "pkg.module:function".')],
    masks: Annotated[str | None, typer.Option(help="Folder of masks, laid out alike.")] = None,
    annotations: Annotated[str | None, typer.Option(help="A table with boxes (CSV).")] = None,
    out: Annotated[str, typer.Option(help="The manifest to write.")] = "data_manifest.yaml",
) -> None:
    """Write a commented manifest for a dataset at hand."""
    path = write_manifest(Path(out), images, model, masks, annotations)
    err.print(f"Wrote {escape(str(path))}. Next: saliency-audit check {escape(str(path))}")


def write_manifest(
    out: Path, images: str, model: str, masks: str | None, annotations: str | None
) -> Path:
    """Write a commented manifest and check that it can be read back.

    Parameters
    ----------
    out : Path
        The file; it must not exist.
    images : str
        Folder with one folder a class; with `annotations`, the folder of the table's paths.
    model : str
        ``name:weights`` of torchvision, or ``"package.module:function"``.
    masks, annotations : str, optional
        Where the foregrounds come from; neither: none.

    Raises
    ------
    ManifestError
        The file exists, or a path does not.
    """
    if out.exists():
        raise ManifestError(f"{out}: exists already; name another with --out")
    for option, given in (("--images", images), ("--masks", masks), ("--annotations", annotations)):
        if given is not None and not Path(given).exists():
            raise ManifestError(f"{option}: no such file or folder: {given}")
    folder = out.resolve().parent

    def below(path: str) -> str:
        return _quoted(os.path.relpath(Path(path).resolve(), folder))

    foreground = (
        "# foreground: {source: mask_file, root: masks}   # without it nothing is called clear"
    )
    if masks is not None:
        foreground = f"foreground:\n  source: mask_file\n  root: {below(masks)}"
    elif annotations is not None:
        foreground = "foreground:\n  source: bounding_box"
    index = ""
    if annotations is not None:
        place = os.path.relpath(Path(annotations).resolve(), Path(images).resolve())
        index = f"  index: {_quoted(place)}\n  follow_links: true\n"
    text = _TEMPLATE.format(
        name=_quoted(Path(images).resolve().name),
        reader="csv_index" if annotations is not None else "image_folder",
        root=below(images),
        index=index,
        foreground=foreground + "\n",
        model=_model(model, below),
    )
    write_bytes(out, text.encode())
    load_manifest(out)
    return out


def _model(model: str, below: Callable[[str], str]) -> str:
    import torchvision

    name, _, weights = model.partition(":")
    if not name or not weights:
        raise ManifestError(
            f'--model: expected "resnet18:weights.pt" or "package.module:function", found {model!r}'
        )
    if name not in torchvision.models.list_models(module=torchvision.models):
        return f"  loader: {_quoted(model)}"
    place = below(weights) if Path(weights).exists() else _quoted(weights)
    return f"  loader: torchvision\n  name: {_quoted(name)}\n  weights: {place}"


def _quoted(text: str) -> str:
    """A value as YAML writes it on one line."""
    return yaml.safe_dump(text, width=10_000).splitlines()[0]

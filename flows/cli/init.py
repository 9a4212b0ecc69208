"""``saliency-audit init``: a first manifest for a dataset at hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.markup import escape

from audit.errors import ManifestError
from audit.manifest import load_manifest
from audit.writing import write_bytes
from flows.cli.further_options import further_options
from flows.cli.terminal import err

if TYPE_CHECKING:
    from audit.dataset.drafts import DatasetDraft
    from audit.models.drafts import ModelDraft

_TEMPLATE = """\
# An audit, declared. Paths are relative to this file; ${{NAME}} takes a value from the environment.
version: 1
name: {name}

# image_folder | csv_index | coco | voc | yolo | huggingface | webdataset | "package.module:name"
{dataset}
# mask_file | bounding_box | coco_segments | voc_segments | yolo_polygons | estimated | none
{foreground}
{model}
# Everything below is the default.
saliency: {{method: gradcam, target: logit}}
interventions: {{donors: 4, fill: inpaint}}
cmv: {{classes: all, brief: true, objectives: [logit, softmax], steps: 128}}
verdict: {{minimum_images: 20, effect: 0.10, fdr: 0.05}}
report: {{formats: [html, pdf]}}
gate: never                 # never | suspect | new | worsened
"""
_ANY_FOREGROUND = """\
  # Further options of any foreground:
  # drawn_on: upright              # or stored: which picture it lies on where EXIF turns it
  # boundary_tolerance: 0          # of the side: a band along the outline that counts for neither
"""
_NO_FOREGROUND = """\
# foreground: {source: mask_file, root: masks}   # without it no class is judged
"""
_CLASSES = """\
  # One class name a line, in the order of the model's outputs:
  # classes: classes.txt
"""
_TRUST = """\
  # Loading this file can run code. Do you know who made it? Then uncomment its sha256:
  # trust: {sha256}
"""
_ANY_MODEL = """\
  # Further options of any model:
  # outputs: logits                # or probabilities, log_probabilities
  # sha256:                        # of the weights; another file is refused
"""
_INPUT = """\
  # What the model was trained with; weights that bring their own need nothing here:
  # input: {size: 224, resize: 256, crop: center,
  #         mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
"""


def init(
    images: Annotated[str, typer.Option(help="Folder of the dataset, in any known layout.")],
    model: Annotated[
        str,
        typer.Option(
            help='A weights file, "resnet18:weights.pt", "loader:name" or "pkg.module:function".'
        ),
    ],
    masks: Annotated[str | None, typer.Option(help="Folder of masks.")] = None,
    annotations: Annotated[
        str | None, typer.Option(help="COCO's JSON, a table, YOLO's YAML, VOC's Annotations.")
    ] = None,
    out: Annotated[str, typer.Option(help="The manifest to write.")] = "data_manifest.yaml",
) -> None:
    """Look at a dataset and a model, and write a commented manifest."""
    with err.status("looking at dataset and model"):
        dataset, network = write_manifest(Path(out), images, model, masks, annotations)
    for line in (*dataset.guessed, *network.guessed):
        err.print(f"  [green]found:[/green] {escape(line)}", highlight=False)
    for line in (*dataset.unknown, *network.unknown):
        err.print(f"  [yellow]not known:[/yellow] {escape(line)}", highlight=False)
    err.print(f"Wrote {escape(out)}. Next: saliency-audit check {escape(out)}")


def write_manifest(
    out: Path, images: str, model: str, masks: str | None, annotations: str | None
) -> tuple[DatasetDraft, ModelDraft]:
    """Write a commented manifest and check that it can be read back.

    Parameters
    ----------
    out : Path
        The file; it must not exist.
    images : str
        Folder of the dataset, or of its images.
    model : str
        See :func:`audit.models.drafts.draft_model`.
    masks, annotations : str, optional
        Where the foregrounds come from; neither: whatever is found.

    Returns
    -------
    DatasetDraft, ModelDraft
        What was guessed and what was not.

    Raises
    ------
    ManifestError
        The file exists, or a path does not.
    DatasetError, ModelError
        What lies there cannot be read.
    """
    from audit.dataset.drafts import draft_dataset
    from audit.dataset.readers import READERS
    from audit.models.drafts import draft_model

    if out.exists():
        raise ManifestError(f"{out}: exists already; name another with --out")
    for option, given in (("--images", images), ("--masks", masks), ("--annotations", annotations)):
        if given is not None and not Path(given).exists():
            raise ManifestError(
                f"{option}: no such file or folder: {given}. Write a path that is there."
            )
    network = draft_model(model)
    dataset = draft_dataset(
        Path(images), Path(masks) if masks else None, Path(annotations) if annotations else None
    )
    folder = out.resolve().parent
    text = _TEMPLATE.format(
        name=_quoted(dataset.name),
        dataset=_section(
            "dataset", {"reader": dataset.reader, "root": dataset.root, **dataset.options}, folder
        )
        + further_options(READERS[dataset.reader], dataset.reader, {"root", *dataset.options}),
        foreground=_foreground(dataset, folder),
        model=_model(dataset, network, folder),
    )
    write_bytes(out, text.encode())
    load_manifest(out)
    return dataset, network


def _model(dataset: DatasetDraft, network: ModelDraft, folder: Path) -> str:
    """The section of the model, with class names where a file of them was found."""
    from audit.models import MODELS

    section = dict(network.section)
    weights = section.get("weights")
    beside = weights.parent / "classes.txt" if isinstance(weights, Path) else None
    classes = beside if beside is not None and beside.is_file() else dataset.classes
    if classes is not None:
        section["classes"] = classes
        network.guessed.append(f"class names, in the order of the outputs: {classes.name}")
    written = _section("model", section, folder)
    written += "" if "classes" in section else _CLASSES
    if network.trust:
        written += _TRUST.format(sha256=network.trust)
    if loader := MODELS.get(section["loader"]):
        written += further_options(loader, section["loader"], {"trust", *section})
    return written + _ANY_MODEL + _INPUT


def _foreground(dataset: DatasetDraft, folder: Path) -> str:
    """The section of the foreground, or what could be written there."""
    from audit.dataset.foregrounds import FOREGROUNDS

    if not dataset.foreground:
        return _NO_FOREGROUND
    source = dataset.foreground["source"]
    return (
        _section("foreground", dataset.foreground, folder)
        + further_options(FOREGROUNDS[source], source, set(dataset.foreground))
        + _ANY_FOREGROUND
    )


def _section(name: str, keys: dict[str, object], folder: Path) -> str:
    """A section with a key a line; paths as they are seen from the manifest."""
    lines = [f"  {key}: {_quoted(_relative(value, folder))}\n" for key, value in keys.items()]
    return f"{name}:\n{''.join(lines)}" if lines else ""


def _relative(value: Any, folder: Path) -> Any:
    return os.path.relpath(value, folder) if isinstance(value, Path) else value


def _quoted(value: Any) -> str:
    """A value as YAML writes it on one line."""
    return yaml.safe_dump(value, width=10_000, default_flow_style=True).splitlines()[0]

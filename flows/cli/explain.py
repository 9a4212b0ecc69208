"""``saliency-audit explain``: one image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from audit.errors import ManifestError
from audit.report.formatting import share
from audit.secrets import guarded
from flows.cli.terminal import AsJson, Device, ManifestPath, err, print_json

if TYPE_CHECKING:
    from audit.pipeline.explanations import Explanation


def explain(
    manifest: ManifestPath,
    image: Annotated[str, typer.Argument(help="An image file, or the id of a sample.")],
    target: Annotated[str | None, typer.Option(help="The class to explain.")] = None,
    against: Annotated[str | None, typer.Option(help="Rather than this class.")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Other saliency methods, separated by commas, or swap_map: the experiment by "
            "parts. Of several, all stand side by side."
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(help="Where the overlay goes; with several methods a .png or a .html."),
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Explain one image: overlay, mass and top classes."""
    from audit.pipeline.explain import explain as explain_image
    from audit.pipeline.explain_pictures import captions, save_pictures
    from audit.run_folder import file_slug

    asked = _names(method)
    stem = file_slug(Path(image).stem)
    path = Path(out or f"{stem}-{'methods' if len(asked) > 1 else 'overlay'}.png")
    found = explain_image(
        manifest, image, target=target, against=against, method=asked, device=device
    )
    for name, probability in found[0].top.items():
        err.print(f"  {share(probability):>7}  {escape(guarded(name))}")
    for explained in found:
        for line in captions(explained):
            err.print(escape(f"{explained.method}: {line}" if len(asked) > 1 else line))
    save_pictures(path, found)
    err.print(f"Overlay: {escape(str(path))}")
    if as_json:
        documents = [_as_json(explained, path) for explained in found]
        if len(asked) > 1:
            named = dict(zip(asked, documents, strict=True))
            print_json({"overlay": str(path), "methods": named})
        else:
            print_json(documents[0])


def _names(given: list[str] | None) -> list[str | None]:
    """Methods in the order in which they were named, each once; None is the manifest's."""
    if given is None:
        return [None]
    names = [name.strip() for one in given for name in one.split(",")]
    if not all(names):
        raise ManifestError(
            "--method: expected names such as gradcam,swap_map, found an empty one. Separate them "
            "by single commas."
        )
    return list(dict.fromkeys(names))


def _as_json(explanation: Explanation, path: Path) -> dict[str, object]:
    names = (
        *(
            "method",
            "in_place_of",
            "explained",
            "against",
            "status",
            "foreground_mass",
            "foreground_area",
            "top",
        ),
        "completeness_error",
    )
    effects = explanation.part_effects
    return {
        **{name: getattr(explanation, name) for name in names},
        "part_effects": None if effects is None else effects.model_dump(),
        "overlay": str(path),
    }

"""``saliency-audit explain``: one image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from audit.report.formatting import share
from audit.secrets import guarded
from flows.cli.terminal import AsJson, Device, ManifestPath, err, print_json

if TYPE_CHECKING:
    from audit.pipeline.explain import Explanation
    from audit.report.side_by_side import Tile


def explain(
    manifest: ManifestPath,
    image: Annotated[str, typer.Argument(help="An image file, or the id of a sample.")],
    target: Annotated[str | None, typer.Option(help="The class to explain.")] = None,
    against: Annotated[str | None, typer.Option(help="Rather than this class.")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Another saliency method, or swap_map: the experiment by parts. "
            "Given several times, all stand side by side."
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
    from audit.run_folder import file_slug

    asked: list[str | None] = list(dict.fromkeys(method)) if method else [None]
    stem = file_slug(Path(image).stem)
    path = Path(out or f"{stem}-overlay.png")
    if out is None and len(asked) > 1:
        path = Path(f"{stem}-methods.png")
    found = [
        explain_image(manifest, image, target=target, against=against, method=one, device=device)
        for one in asked
    ]
    first = found[0]
    for name, probability in first.top.items():
        err.print(f"  {share(probability):>7}  {escape(guarded(name))}")
    for one, explained in zip(asked, found, strict=True):
        for line in _said(explained):
            err.print(f"{one}: {line}" if len(asked) > 1 else line)
    _write_pictures(path, image, asked, found)
    err.print(f"Overlay: {escape(str(path))}")
    if as_json:
        documents = [_as_json(explained, path) for explained in found]
        if len(asked) == 1:
            print_json(documents[0])
        else:
            named = zip(asked, documents, strict=True)
            print_json(
                {"overlay": str(path), "methods": {str(one): document for one, document in named}}
            )


def _write_pictures(
    path: Path, image: str, asked: Sequence[str | None], explanations: Sequence[Explanation]
) -> None:
    """One overlay, or all side by side: as a page where the file shall be one, else as a strip."""
    from audit.report.overlays import to_png
    from audit.report.side_by_side import page, strip
    from audit.writing import write_bytes

    first = explanations[0]
    if path.suffix == ".html":
        title = f"{image}: what speaks for {first.explained}"
        top = ", ".join(f"{name} {share(value)}" for name, value in first.top.items())
        answers = [f"The model's answers: {top}."]
        write_bytes(path, page(title, answers, _tiles(asked, explanations)).encode())
    else:
        shown = first.overlay if len(asked) == 1 else strip(_tiles(asked, explanations))
        write_bytes(path, to_png(shown))


def _tiles(asked: Sequence[str | None], explanations: Sequence[Explanation]) -> list[Tile]:
    from audit.report.side_by_side import Tile

    maps = [
        Tile(one or "the manifest's method", explained.overlay, " ".join(_said(explained)))
        for one, explained in zip(asked, explanations, strict=True)
    ]
    return [Tile("the image", explanations[0].image), *maps]


def _said(explanation: Explanation) -> list[str]:
    """What there is to say of a map, beside the picture."""
    from audit.report.sentences import english_parts

    lines = []
    if explanation.foreground_mass is not None and explanation.foreground_area is not None:
        lines.append(
            f"{share(explanation.foreground_mass)} of the map lies on the object, which covers "
            f"{share(explanation.foreground_area)} of the image."
        )
    if explanation.completeness_error is not None:
        lines.append(
            f"Integrated gradients are {share(explanation.completeness_error)} off the sum that "
            "they should have; with more steps (saliency.options.steps) they come closer."
        )
    if explanation.part_effects is not None:
        lines.append(english_parts(explanation.part_effects))
    return lines


def _as_json(explanation: Explanation, path: Path) -> dict[str, object]:
    names = (
        *("explained", "against", "status", "foreground_mass", "foreground_area", "top"),
        "completeness_error",
    )
    effects = explanation.part_effects
    return {
        **{name: getattr(explanation, name) for name in names},
        "part_effects": None if effects is None else effects.model_dump(),
        "overlay": str(path),
    }

"""``saliency-audit explain``: one image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from audit.secrets import guarded
from flows.cli.terminal import AsJson, Device, ManifestPath, err, print_json


def explain(
    manifest: ManifestPath,
    image: Annotated[str, typer.Argument(help="An image file, or the id of a sample.")],
    target: Annotated[str | None, typer.Option(help="The class to explain.")] = None,
    against: Annotated[str | None, typer.Option(help="Rather than this class.")] = None,
    method: Annotated[
        str | None,
        typer.Option(help="Another saliency method, or swap_map: the experiment by parts."),
    ] = None,
    out: Annotated[str | None, typer.Option(help="Where the overlay goes.")] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Explain one image: overlay, mass and top classes."""
    from audit.pipeline.explain import explain as explain_image
    from audit.report.overlays import to_png
    from audit.report.sentences import english_parts
    from audit.run_folder import file_slug
    from audit.writing import write_bytes

    found = explain_image(
        manifest, image, target=target, against=against, method=method, device=device
    )
    path = Path(out or f"{file_slug(Path(image).stem)}-overlay.png")
    write_bytes(path, to_png(found.overlay))
    for name, probability in found.top.items():
        err.print(f"  {probability:6.1%}  {escape(guarded(name))}")
    if found.foreground_mass is not None and found.foreground_area is not None:
        err.print(
            f"{found.foreground_mass:.0%} of the map lies on the object, which covers "
            f"{found.foreground_area:.0%} of the image."
        )
    if found.completeness_error is not None:
        err.print(
            f"Integrated gradients are {found.completeness_error:.1%} off the sum that they should "
            "have; with more steps (saliency.options.steps) they come closer."
        )
    if found.part_effects is not None:
        err.print(english_parts(found.part_effects))
    err.print(f"Overlay: {escape(str(path))}")
    if as_json:
        names = (
            *("explained", "against", "status", "foreground_mass", "foreground_area", "top"),
            "completeness_error",
        )
        effects = found.part_effects
        print_json(
            {
                **{name: getattr(found, name) for name in names},
                "part_effects": None if effects is None else effects.model_dump(),
                "overlay": str(path),
            }
        )

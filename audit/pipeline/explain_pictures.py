"""The pictures of one explained image: an overlay, a strip of several, or a page of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from audit.pipeline.explanations import Explanation
from audit.report.formatting import share
from audit.report.overlays import to_png
from audit.report.sentences import english_parts
from audit.report.side_by_side import Tile, page, strip
from audit.writing import write_bytes


def save_pictures(path: str | Path, explanations: Explanation | Sequence[Explanation]) -> None:
    """Write what :func:`audit.explain` found as a picture, or as a page in one file.

    Parameters
    ----------
    path : str or Path
        ``.html``: a page with the image, every overlay and what is said of it, without a script
        and without other files. Else a PNG: the overlay; of several the image and all overlays
        side by side, each below the name of its method.
    explanations : Explanation or sequence of Explanation
        Of one image.
    """
    path = Path(path)
    found = [explanations] if isinstance(explanations, Explanation) else list(explanations)
    first = found[0]
    if path.suffix.lower() == ".html":
        top = ", ".join(f"{name} {share(value)}" for name, value in first.top.items())
        answers = [f"The model's answers: {top}."]
        write_bytes(path, page(_title(first), answers, _tiles(found)).encode())
    else:
        shown = first.overlay if len(found) == 1 else strip(_tiles(found))
        write_bytes(path, to_png(shown))


def captions(explanation: Explanation) -> list[str]:
    """What there is to say of a map, beside the picture: English sentences."""
    lines = [f"{explanation.in_place_of}."] if explanation.in_place_of else []
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


def _title(explanation: Explanation) -> str:
    if explanation.against is None:
        return f"{explanation.sample_id}: what speaks for {explanation.explained}"
    return (
        f"{explanation.sample_id}: what speaks for {explanation.explained} rather than "
        f"{explanation.against}"
    )


def _tiles(explanations: Sequence[Explanation]) -> list[Tile]:
    maps = [
        Tile(explanation.method, explanation.overlay, " ".join(captions(explanation)))
        for explanation in explanations
    ]
    return [Tile("the image", explanations[0].image), *maps]

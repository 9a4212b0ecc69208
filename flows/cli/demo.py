"""``saliency-audit demo``: the embedded demo as ordinary files, or a self-test on photographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from audit.errors import ManifestError
from audit.report.formatting import share
from flows.cli.terminal import err


def demo(
    out: Annotated[str, typer.Option(help="Where the demo goes.")] = "demo",
    seed: Annotated[int, typer.Option(help="Of the pictures and the training.")] = 0,
    photographs: Annotated[
        str | None, typer.Option(help="A self-test on your photographs, one folder a class.")
    ] = None,
    trunk: Annotated[
        str | None, typer.Option(help='Of the self-test: "mobilenet_v2:weights.pth".')
    ] = None,
    plant: Annotated[
        str | None, typer.Option(help="The class that gets a background planted.")
    ] = None,
) -> None:
    """Make the embedded demo: images, masks, a model and the truth about it."""
    if photographs is not None:
        _test_on(Path(photographs), Path(out), trunk, plant, seed)
        return
    for option, given in (("--trunk", trunk), ("--plant", plant)):
        if given is not None:
            raise ManifestError(
                f"{option}: belongs to --photographs DIR: name that, too, or leave it out"
            )
    from flows.demo import make_demo

    with err.status("painting scenes and training a small network (under a minute)"):
        written = make_demo(Path(out), seed)
    err.print(f"The demo lies in {escape(str(Path(out)))}. Audit it with:")
    err.print(f"  saliency-audit run {escape(str(written))}")


def _test_on(photographs: Path, out: Path, trunk: str | None, plant: str | None, seed: int) -> None:
    """Plant a background in one class, audit, and say whether exactly that class is found."""
    import audit
    from audit.findings import Verdict
    from flows.demo.photographs import make_photographic_demo

    if trunk is None:
        raise ManifestError('--photographs needs --trunk, such as "mobilenet_v2:weights.pth"')
    with err.status("outlining objects, planting snow, training a head (a second an image)"):
        manifest = make_photographic_demo(photographs, out, trunk, planted=plant, seed=seed)
    truth = json.loads((out / "truth.json").read_text())["classes"]
    (planted,) = (name for name, of_class in truth.items() if of_class["cue"])
    with err.status("auditing it"):
        run = audit.run(manifest, out / "run")
    suspects = [f.label_name for f in run.findings.with_verdict(Verdict.SUSPECT)]
    err.print(
        f"Planted: snow behind {escape(planted)}. Elsewhere its accuracy falls by "
        f"{share(truth[planted]['drop'])} (measured without the audit)."
    )
    found = escape(", ".join(suspects) or "none")
    err.print(f"Found suspect: {found}. {_outcome(planted, suspects, truth)}")
    err.print(f"The report: {escape(str(run.path / 'report.html'))}")


def _outcome(planted: str, suspects: list[str], truth: dict[str, dict[str, object]]) -> str:
    others = [name for name in suspects if name != planted]
    if planted not in suspects:
        if not truth[planted]["reliant"]:
            return "The model did not come to rely on the snow, so there was nothing to find."
        return "The planted class was missed: on your photographs the audit has less power."
    if not others:
        return "Exactly the planted class was found."
    relying = [name for name in others if truth[name]["reliant"]]
    return (
        f"The planted class was found, and {len(others)} more, of which {len(relying)} do lose "
        "accuracy elsewhere."
    )

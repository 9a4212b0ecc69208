"""The command line: ``saliency-audit``."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

# Before Prefect is imported anywhere: its own log is for servers, ours is for people.
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
# Threads that spin while they wait make everything slow on a machine that others use too.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
# The embedded server makes its database on the first start; Prefect's own 20 s are too few then.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")

import typer
from rich.console import Console
from rich.markup import escape

from audit.cancellation import Stopped, ask_to_stop
from audit.errors import AuditError, InputError

app = typer.Typer(
    help="Find the classes of an image classifier that are right for the wrong reason.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
err = Console(stderr=True, soft_wrap=True)

FAILED, USAGE, GATE_FAILED, INCOMPLETE = 1, 2, 3, 4

ManifestPath = Annotated[str, typer.Argument(help="The manifest file.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:i.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="key.path=value, laid over the manifest.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]


@app.command()
def run(
    manifest: ManifestPath = "data_manifest.yaml",
    out: Annotated[str | None, typer.Option(help="The run folder.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on where an earlier run stopped.")] = True,
    limit: Annotated[int | None, typer.Option(min=1, help="Audit only so many images.")] = None,
    device: Device = "auto",
    runner: Annotated[str, typer.Option(help="threads, dask or ray.")] = "threads",
    overrides: Overrides = None,
    gate: Annotated[str | None, typer.Option(help="never, suspect or new.")] = None,
    as_json: AsJson = False,
) -> None:
    """Audit a dataset and a classifier, and render the report."""
    from flows.cli.run import run_audit

    summary = run_audit(
        manifest,
        out=out,
        resume=resume,
        limit=limit,
        device=device,
        runner=runner,
        overrides=overrides or [],
        gate=gate,
        console=err,
    )
    if as_json:
        _print_json(summary)
    if not summary["gate_passed"]:
        raise typer.Exit(GATE_FAILED)
    if not summary["complete"]:
        raise typer.Exit(INCOMPLETE)


@app.command()
def check(
    manifest: ManifestPath,
    device: Device = "auto",
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Find everything that can be wrong before the work begins."""
    from audit.pipeline.check import check_manifest

    found = check_manifest(manifest, tuple(overrides or ()), device, err)
    if as_json:
        _print_json(found)


@app.command()
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


@app.command()
def report(
    run_dir: Annotated[str, typer.Argument(help="A run folder.")],
    manifest: Annotated[
        str | None, typer.Option(help="Take the thresholds from this manifest.")
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Decide and render again from the stored scores, with today's thresholds."""
    from flows.cli.run import report_again

    summary = report_again(Path(run_dir), manifest, tuple(overrides or ()), err)
    if as_json:
        _print_json(summary)


@app.command()
def cmv(
    manifest: ManifestPath,
    classes: Annotated[list[str] | None, typer.Option("--class", help="A class name.")] = None,
    objective: Annotated[
        str, typer.Option(help="logit, softmax, both, contrast or diversity.")
    ] = "both",
    against: Annotated[str | None, typer.Option(help="With contrast: this rival class.")] = None,
    out: Annotated[str, typer.Option(help="Where the folder cmv goes.")] = ".",
    device: Device = "auto",
    overrides: Overrides = None,
) -> None:
    """Make class model visualizations alone."""
    from audit.pipeline.explain import visualize_alone

    visualize_alone(
        manifest,
        tuple(classes or ()),
        objective,
        against,
        Path(out),
        device,
        tuple(overrides or ()),
        err,
    )


@app.command()
def explain(
    manifest: ManifestPath,
    image: Annotated[str, typer.Argument(help="An image file, or the id of a sample.")],
    target: Annotated[str | None, typer.Option(help="The class to explain.")] = None,
    against: Annotated[str | None, typer.Option(help="Rather than this class.")] = None,
    method: Annotated[str | None, typer.Option(help="Another saliency method.")] = None,
    out: Annotated[str | None, typer.Option(help="Where the overlay goes.")] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Explain one image: overlay, mass and top classes."""
    from audit.pipeline.explain import explain_one

    found = explain_one(manifest, image, target, against, method, out, device, err)
    if as_json:
        _print_json(found)


@app.command()
def init(
    images: Annotated[str, typer.Option(help="Folder with one folder a class.")],
    model: Annotated[str, typer.Option(help='"resnet18:weights.pt" or "pkg.module:function".')],
    masks: Annotated[str | None, typer.Option(help="Folder of masks, laid out alike.")] = None,
    annotations: Annotated[str | None, typer.Option(help="A table with boxes (CSV).")] = None,
    out: Annotated[str, typer.Option(help="The manifest to write.")] = "data_manifest.yaml",
) -> None:
    """Write a commented manifest for a dataset at hand."""
    from flows.cli.init import write_manifest

    path = write_manifest(Path(out), images, model, masks, annotations)
    err.print(f"Wrote {escape(str(path))}. Next: saliency-audit check {escape(str(path))}")


@app.command()
def serve(
    manifest: ManifestPath,
    cron: Annotated[str, typer.Option(help='When, e.g. "0 2 * * 1".')],
    device: Device = "auto",
    overrides: Overrides = None,
) -> None:
    """Audit on a schedule, by Prefect, until stopped."""
    from flows.deployments import serve_audit

    err.print(f"Serving {escape(manifest)} at {escape(repr(cron))}; stop with Ctrl-C.")
    serve_audit(manifest, cron, device, overrides or [])


def _print_json(content: Any) -> None:
    sys.stdout.write(json.dumps(content, ensure_ascii=True) + "\n")


def _end(signum: int, frame: FrameType | None) -> None:
    # Who ends a group of processes often sends two signals at once: the second must not cut off
    # the ending that the first began.
    if ask_to_stop():
        raise Stopped


def main() -> None:
    """Run the command line; every failure that has a name becomes one message and an exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # Who starts it in the background of a script may have Ctrl-C ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    try:
        app()
    except InputError as error:
        _stop(error, USAGE)
    except AuditError as error:
        _stop(error, FAILED)
    except Stopped:
        err.print("Stopped. Finished shards are kept; the same command goes on from there.")
        sys.exit(FAILED)


def _stop(error: AuditError, code: int) -> NoReturn:
    err.print(f"[bold]saliency-audit:[/bold] {escape(str(error))}", highlight=False)
    sys.exit(code)

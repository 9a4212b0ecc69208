"""Images per second of saliency methods from JPEG files, and peak memory, beside the peers.

Ours (files in, parts of ``scores.parquet`` out), Captum and pytorch-grad-cam behind a DataLoader,
scored with numpy: each in a process of its own, forked from one that has imported all libraries
and built the network, and ours before the peers and after them, for the machine's noise. On a GPU
all are in one process, since no fork can open it, and ours come in float32 (what a run does by
default) and in TF32; the peers as PyTorch is set, with TF32 in convolutions. Beside
the images a second stand the CPU seconds of the measured process an image, which a shared machine
changes less, and the peak of its memory, what all have imported included. Networks have random
weights, which cost what trained ones cost. A peer that is not installed, or lacks a method, has a
dash. LXT is not compared: it has none of these methods, and its release 2.1 does not import beside
transformers 5.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import multiprocessing
import os
import sys
import tempfile
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.peers import CAPTUM, GRAD_CAM  # noqa: E402
from benchmarks.ways import measure  # noqa: E402
from benchmarks.workload import network, paint  # noqa: E402

MODELS = ("resnet50", "convnext_tiny", "vit_b_16")
METHODS = (
    "gradient",
    "gradient_x_input",
    "integrated_gradients",
    "gradcam",
    "gradcam_plus_plus",
)

LIBRARIES = ("captum.attr", "pytorch_grad_cam")
THREADS = torch.get_num_threads()


def compare(device: str, name: str, method: str, folder: Path, count: int, batch: int) -> str:
    """A row of the table: each library on the same files."""

    def timed(library: str) -> dict[str, Any] | str:
        alone = _here if device == "cuda" else _forked
        return alone(device, f"{library}: {method}", name, folder, count, batch)

    cells = [timed("ours")]
    for library, package, known in (
        ("captum", "captum", CAPTUM),
        ("pytorch-grad-cam", "pytorch_grad_cam", tuple(GRAD_CAM)),
    ):
        tokens = library == "captum" and method == "gradcam" and name.startswith("vit")
        has = method in known and not tokens and importlib.util.find_spec(package) is not None
        cells.append(timed(library) if has else "-")
    ours = (cells[0], timed("ours, tf32" if device == "cuda" else "ours"))
    shown = [" and ".join(map(_cell, ours)), *map(_cell, cells[1:])]
    return f"| {name} | {method} | {' | '.join(shown)} |"


def _here(*asked: Any) -> dict[str, Any] | str:
    """Measure in this process, on a network that nobody has touched."""
    network.cache_clear()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    try:
        return measure(*asked)
    except Exception as error:
        traceback.print_exc()
        return f"failed: {type(error).__name__}"


def _forked(*asked: Any) -> dict[str, Any] | str:
    """Measure in a child; the last words of its error where it failed."""
    context = multiprocessing.get_context("fork")
    mine, its = context.Pipe(duplex=False)
    child = context.Process(target=_measured, args=(its, *asked))
    child.start()
    its.close()
    try:
        found: dict[str, Any] | str = mine.recv()
    except EOFError:
        found = "ended without a word"
    child.join()
    return found


def _measured(its: Connection, *asked: Any) -> None:
    torch.set_num_threads(THREADS)
    try:
        its.send(measure(*asked))
    except Exception as error:
        traceback.print_exc()
        its.send(f"failed: {type(error).__name__}")


def _cell(found: dict[str, Any] | str) -> str:
    if isinstance(found, str):
        return found
    return f"{found['rate']:.4g} ({found['own'] / 1000:.2g} s, {found['peak']:,.0f} MB)"


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    gpu = torch.cuda.is_available()
    parser.add_argument("--count", type=int, default=1024 if gpu else 64, help="pictures a cell")
    parser.add_argument("--batch", type=int, default=32 if gpu else 8, help="of the peers")
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--device", default="cuda" if gpu else "cpu")
    asked = parser.parse_args()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{THREADS} threads, torch {torch.__version__}, load before: {load}")
    print(f"{len(os.sched_getaffinity(0))} cores; {asked.count} JPEGs of 500 x 375 a cell")
    print("images a second (CPU seconds an image, peak of memory)\n")
    ours = "float32 and TF32" if asked.device == "cuda" else "before and after"
    print(f"| network | method | ours, {ours} | Captum | pytorch-grad-cam |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        paint(Path(folder), asked.count, (500, 375))
        # Threads that a parent has started are dead in its children, who would wait for them.
        torch.set_num_threads(THREADS if asked.device == "cuda" else 1)
        for library in LIBRARIES:
            if importlib.util.find_spec(library.partition(".")[0]) is not None:
                importlib.import_module(library)
        for name in asked.models:
            network(name)
            for method in asked.methods:
                row = compare(asked.device, name, method, Path(folder), asked.count, asked.batch)
                print(row, flush=True)


if __name__ == "__main__":
    main()

"""Images per second of saliency methods from JPEG files, and peak memory, beside the peers.

Ours (files in, parts of ``scores.parquet`` out), Captum and pytorch-grad-cam behind a DataLoader,
scored with numpy: each in a process of its own, all of one run, and ours twice, first and last, for
the machine's noise. Networks have random weights, which cost what trained ones cost. A peer that is
not installed, or lacks a method, has a dash. LXT is not compared: it has none of these methods, and
its release 2.1 does not import beside transformers 5.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.peers import CAPTUM, GRAD_CAM  # noqa: E402
from benchmarks.speed import in_a_process  # noqa: E402
from benchmarks.workload import paint  # noqa: E402

MODELS = ("resnet50", "convnext_tiny", "vit_b_16")
METHODS = (
    "gradient",
    "gradient_x_input",
    "integrated_gradients",
    "gradcam",
    "gradcam_plus_plus",
)


def compare(device: str, name: str, method: str, folder: Path, count: int, batch: int) -> str:
    """A row of the table: each library on the same files."""

    def timed(library: str) -> dict[str, Any]:
        return in_a_process(device, f"{library}: {method}", name, folder, count, batch)

    first = timed("ours")
    peers = []
    for library, package, known in (
        ("captum", "captum", CAPTUM),
        ("pytorch-grad-cam", "pytorch_grad_cam", tuple(GRAD_CAM)),
    ):
        tokens = library == "captum" and method == "gradcam" and name.startswith("vit")
        if method in known and not tokens and importlib.util.find_spec(package) is not None:
            found = timed(library)
            peers.append(f"{found['rate']:.2f} ({found['peak']:,.0f})")
        else:
            peers.append("-")
    last = timed("ours")
    ours = f"{first['rate']:.2f}, {last['rate']:.2f} ({max(first['peak'], last['peak']):,.0f})"
    return f"| {name} | {method} | {ours} | {' | '.join(peers)} |"


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=64, help="pictures a measurement")
    parser.add_argument("--batch", type=int, default=8, help="of the peers")
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, load before: {load}")
    print(f"{asked.count} JPEGs of 500 x 375 a cell: images/s (peak MB)\n")
    print("| network | method | ours, first and last | Captum | pytorch-grad-cam |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        paint(Path(folder), asked.count, (500, 375))
        for name in asked.models:
            for method in asked.methods:
                row = compare(asked.device, name, method, Path(folder), asked.count, asked.batch)
                print(row, flush=True)


if __name__ == "__main__":
    main()

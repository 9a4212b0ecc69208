"""Images per second of saliency and scoring from files, beside the bare loop and the peers.

On the CPU and, where there is one, on the GPU. Each measurement runs in a process of its own, so
that its peak of memory is its own. All of one model run one after the other: compare within a run.
Networks have random weights, which cost what trained ones cost.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from audit.models.audited import has_bfloat16  # noqa: E402
from benchmarks.ways import OURS, wait_for  # noqa: E402
from benchmarks.workload import network, paint  # noqa: E402

MODELS = ("resnet18", "resnet50", "efficientnet_b0", "vit_b_16")
BATCHES = {"cpu": (1, 8, 32), "cuda": (32, 128, 256)}
"""Of these the bare loop and Captum get the one that is fastest for them."""
MORE = {"cpu": 1, "cuda": 16}
"""So many times as many pictures, or a GPU is done before it can be timed."""
SIDES = {"cpu": 2048, "cuda": 8192}
"""Of the matrices whose product tells what a device can do."""
VARIANTS = 5 + 2 * 4
"""Pictures that the default experiments make of an image: background only, object only, noise on
either, the background shuffled, four donors of each kind."""


def billions(name: str) -> float:
    """Floating-point operations of a forward pass and an input gradient of one image, in 1e9."""
    # Here, since it brings 180 MB with it that are nobody's peak.
    from torch.utils.flop_counter import FlopCounterMode

    module, side = network(name)
    module.eval().requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        module(torch.rand(1, 3, side, side, requires_grad=True))[0, 0].backward()
    return counter.get_total_flops() / 1e9


def matrix_rate(device: str, half: bool) -> float:
    """Billions of floating-point operations a second of a large matrix product.

    Of float32 a GPU computes it in TF32, since PyTorch has it compute convolutions so.
    """
    torch.set_float32_matmul_precision("high")
    side = SIDES[device]
    square = torch.rand(side, side, device=device, dtype=torch.bfloat16 if half else torch.float32)
    wait_for(square @ square)
    began = time.perf_counter()
    for _ in range(10):
        product = square @ square
    wait_for(product)
    return 10 * 2 * side**3 / (time.perf_counter() - began) / 1e9


def in_a_process(
    device: str, what: str, name: str, folder: Path, count: int, batch: int
) -> dict[str, Any]:
    """Measure in a process of its own."""
    wanted = [device, what, name, str(folder), str(count), str(batch)]
    command = [sys.executable, "-m", "benchmarks.ways", *wanted]
    done = subprocess.run(command, capture_output=True, check=False, cwd=ROOT, text=True)
    if done.returncode:
        raise SystemExit(f"{what} of {name} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(device: str, names: list[str], folder: Path, count: int, batches: list[int]) -> None:
    """Print the table of models on a device: every way on the same pictures."""
    half = has_bfloat16(torch.device(device))
    rates = {kind: matrix_rate(device, kind) for kind in (False, True) if half or not kind}
    shown = ", ".join(f"{'bfloat16' if k else 'float32'} {v:,.0f}" for k, v in rates.items())
    print(f"\n{device}: 1e9 operations a second of a matrix product: {shown}")
    print(
        f"{'model':<16} {'way':<18} {'batch':>5} {'images/s':>9} {'of bare':>8} {'of product':>10} "
        f"{'CPU ms':>7} {'peak MB':>8}"
    )
    for name in names:
        costs = billions(name)

        def run(what: str, batch: int, name: str = name, costs: float = costs) -> dict[str, Any]:
            found = in_a_process(device, what, name, folder, count, batch)
            found |= {"batch": batch, "share": found["rate"] * costs / rates[what == "ours, bf16"]}
            return found

        limit = max((run("bare loop", batch) for batch in batches), key=_rate)
        _line(name, "bare loop", limit, limit)
        plain = run("ours", OURS[device])
        _line(name, "ours", plain, limit)
        _line(name, "captum", max((run("captum", b) for b in batches), key=_rate), limit)
        if half:
            rounded = run("ours, bf16", OURS[device])
            _line(name, "ours, bf16", rounded, limit)
            moved = np.abs(np.subtract(plain["masses"], rounded["masses"]))
            print(
                f"{name:<16} mass moved by {np.nanmean(moved):.4f}, at most {np.nanmax(moved):.4f}"
            )
        if name.startswith("resnet"):
            _line(name, "ours, gradcam", run("ours, gradcam", OURS[device]), limit)
            if importlib.util.find_spec("pytorch_grad_cam") is not None:
                _line(name, "pytorch-grad-cam", run("pytorch-grad-cam", OURS[device]), limit)
        swapped = run("ours, with swaps", OURS[device])
        _line(name, "ours, with swaps", swapped, limit)
        share = (plain["rate"] / swapped["rate"] - 1) / VARIANTS
        print(f"{name:<16} each of {VARIANTS} variants costs {share:.2f} of ours", flush=True)


def _rate(found: dict[str, Any]) -> float:
    rate: float = found["rate"]
    return rate


def _line(name: str, way: str, found: dict[str, Any], limit: dict[str, Any]) -> None:
    # Grad-CAM and swaps do other work than a forward pass and an input gradient an image.
    same = way in ("bare loop", "ours", "ours, bf16", "captum")
    share = f"{found['share']:.2f}" if same else ""
    print(
        f"{name:<16} {way:<18} {found['batch']:>5} {found['rate']:>9.1f} "
        f"{found['rate'] / limit['rate']:>8.2f} {share:>10} {found['cpu']:>7.1f} "
        f"{found['peak']:>8.0f}",
        flush=True,
    )


def grow(counts: list[int]) -> None:
    """Print what a tiny network costs on more and more pictures of 64 pixels."""
    print(f"{'images':>8} {'seconds':>8} {'images/s':>9} {'peak MB':>8}")
    with tempfile.TemporaryDirectory() as folder:
        paint(Path(folder), max(counts), (64, 64))
        for count in counts:
            found = in_a_process("cpu", "ours", "tiny", Path(folder), count, 32)
            print(
                f"{count:>8,} {found['seconds']:>8.1f} {found['rate']:>9.1f} {found['peak']:>8.0f}",
                flush=True,
            )


def main() -> None:
    """Read the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, help="a folder of photographs; else painted ones")
    parser.add_argument("--count", type=int, default=128, help="pictures a measurement")
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    parser.add_argument("--devices", nargs="*", default=devices, choices=devices)
    parser.add_argument("--batches", type=int, nargs="*", help="of the bare loop and of Captum")
    parser.add_argument("--grow", type=int, nargs="*", default=[1000, 10000])
    asked = parser.parse_args()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, load before: {load}")
    with tempfile.TemporaryDirectory() as painted:
        if asked.images is None:
            paint(Path(painted), asked.count, (500, 375))
        for device in asked.devices:
            count, batches = asked.count * MORE[device], asked.batches or BATCHES[device]
            compare(device, asked.models, asked.images or Path(painted), count, list(batches))
    if importlib.util.find_spec("pytorch_grad_cam") is None:
        print("pytorch-grad-cam is not installed, so it is not compared: pip install grad-cam")
    if asked.grow:
        grow(asked.grow)


if __name__ == "__main__":
    main()

"""Images per second of saliency and scoring from files, beside the bare loop and the peers.

On the CPU and, where there is one, on the GPU. Each measurement runs in a process of its own, so
that its peak of memory is its own. All of one model run one after the other: compare within a run.
Networks have random weights, which cost what trained ones cost.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from audit.dataset.loader import Loader, LoadingPlan  # noqa: E402
from audit.dataset.sample_table import samples_table  # noqa: E402
from audit.dataset.samples import Sample  # noqa: E402
from audit.geometry import Geometry  # noqa: E402
from audit.measuring.donors import DonorBank, build_bank  # noqa: E402
from audit.measuring.parts import Part  # noqa: E402
from audit.measuring.plan import MeasurementPlan, Workbench  # noqa: E402
from audit.measuring.shards import score_shard, shard_count  # noqa: E402
from audit.models import AuditedModel  # noqa: E402
from audit.models.audited import has_bfloat16  # noqa: E402
from audit.models.engine import Engine  # noqa: E402
from audit.run_folder import RunFolder  # noqa: E402
from audit.saliency import METHODS  # noqa: E402
from benchmarks.peers import STEPS, captum, grad_cam  # noqa: E402

MODELS = ("resnet18", "resnet50", "efficientnet_b0", "vit_b_16")
BATCHES = {"cpu": (1, 8, 32), "cuda": (32, 128, 256)}
"""Of these the bare loop and Captum get the one that is fastest for them."""
OURS = {"cpu": 32, "cuda": 128}
"""Images in a batch of ours: what ``run.batch_size: auto`` takes on two cores, and on a GPU."""
MORE = {"cpu": 1, "cuda": 16}
"""So many times as many pictures, or a GPU is done before it can be timed."""
SIDES = {"cpu": 2048, "cuda": 8192}
"""Of the matrices whose product tells what a device can do."""
SHARD = 1024
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
BOX = (0.25, 0.25, 0.75, 0.75)
"""The foreground of every image, in shares of its sides: what it is costs nothing."""
VARIANTS = 5 + 2 * 4
"""Pictures that the default experiments make of an image: background only, object only, noise on
either, the background shuffled, four donors of each kind."""


class Tiny(nn.Sequential):
    """Three convolutions: a network that costs less than a file."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 16, 3, 2), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)),
        )


def network(name: str) -> tuple[nn.Module, int]:
    """A network with random weights, and the side of its input."""
    import torchvision

    torch.manual_seed(0)
    if name == "tiny":
        return Tiny(), 32
    module = torchvision.models.get_model(name, weights=None)
    if hasattr(module, "heads"):
        # An untrained ViT's last layer is zero, and so would be all its maps.
        nn.init.normal_(module.heads.head.weight, std=0.02)
    return module, 224


def paint(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Write JPEGs of smooth noise, as large as photographs are."""
    random = np.random.default_rng(0)
    for index in range(count):
        coarse = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        picture.save(folder / f"{index:06}.jpg", quality=90)


def pictures(folder: Path, count: int) -> list[str]:
    """The first `count` pictures below a folder; again from the first where it has fewer."""
    found = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return list(itertools.islice(itertools.cycle(found), count))


# What is compared: each yields once when it is ready, so that no start is timed.


def ours(model: Engine, paths: list[str], method: str, folder: Path) -> Iterator[None]:
    """The audit's own path without swaps: files in, parts of ``scores.parquet`` out."""
    table, run = _samples(paths), RunFolder(folder)
    options = {"steps": STEPS} if method == "integrated_gradients" else {}
    plan = MeasurementPlan(partial(METHODS[method], **options))
    with _loader(model) as loader:
        score_shard(_part(run, table, 0, 4), Workbench(table, loader, model, plan, 4), None)
        yield
        _score(run, Workbench(table, loader, model, plan, OURS[model.device.type]), None)


def ours_with_swaps(model: Engine, paths: list[str], folder: Path) -> Iterator[None]:
    """The same with every experiment that is on by default, and the backgrounds they need."""
    table, run = _samples(paths), RunFolder(folder)
    plan = MeasurementPlan(METHODS["gradient"], extra=("noise", "shuffle"))
    with _loader(model) as loader:
        score_shard(_part(run, table, 0, 4), Workbench(table, loader, model, plan, 4), None)
        yield
        build_bank(
            folder / "donors", table, loader, bank=32, fill=plan.fill, seed=0, device=model.device
        )
        bench = Workbench(table, loader, model, plan, OURS[model.device.type])
        _score(run, bench, DonorBank(folder / "donors"))


def _samples(paths: list[str]) -> pd.DataFrame:
    """Two classes by turns, so that each can lend the other its backgrounds."""
    samples = (
        Sample(f"{index:07} {path}", Path(path), f"class {index % 2}", boxes=(_box(path),))
        for index, path in enumerate(paths)
    )
    return samples_table(samples, (index % 2 for index in range(len(paths))))


def _loader(model: Engine) -> Loader:
    return Loader(LoadingPlan(model.geometry, "bounding_box"), os.cpu_count() or 1)


def _score(run: RunFolder, bench: Workbench, bank: DonorBank | None) -> None:
    for shard in range(shard_count(len(bench.table), SHARD)):
        score_shard(_part(run, bench.table, shard, SHARD), bench, bank)


def _part(run: RunFolder, table: pd.DataFrame, shard: int, size: int) -> Part:
    first = shard * size
    return Part(run.part(shard), "", shard, first, table.iloc[first : first + size])


def _box(path: str) -> tuple[float, float, float, float]:
    with Image.open(path) as opened:
        width, height = opened.size
    return BOX[0] * width, BOX[1] * height, BOX[2] * width, BOX[3] * height


def bare(model: AuditedModel, count: int, batch: int) -> Iterator[None]:
    """One forward and one input gradient on tensors that lie in memory: the limit."""
    side, device = model.geometry.size, model.device
    pixels = torch.rand(batch, 3, side, side, device=device)
    targets = torch.zeros(batch, 1, dtype=torch.int64, device=device)

    def step() -> Tensor:
        wanted = pixels.clone().requires_grad_(True)
        return torch.autograd.grad(model(wanted).gather(1, targets).sum(), wanted)[0]

    _wait_for(step())
    yield
    for _ in range(-(-count // batch)):
        last = step()
    _wait_for(last)


def _wait_for(values: Tensor) -> None:
    """Until a GPU has computed them."""
    if not bool(values.sum().isfinite()):
        raise SystemExit("the network gave something that is not finite")


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
    _wait_for(square @ square)
    began = time.perf_counter()
    for _ in range(10):
        product = square @ square
    _wait_for(product)
    return 10 * 2 * side**3 / (time.perf_counter() - began) / 1e9


def measure(
    device: str, what: str, name: str, folder: Path, count: int, batch: int
) -> dict[str, Any]:
    """Time one way: images per second, CPU milliseconds an image, the peak of memory in MB.

    The CPU time is that of the process and of its children, whose starts are a part of it. Memory
    is that of the device. Ours say the foreground mass of each image, too.
    """
    module, side = network(name)
    model = AuditedModel(module, None, Geometry(side)).to(torch.device(device))
    engine, paths = Engine(model), pictures(folder, count)
    with tempfile.TemporaryDirectory() as out:
        ways: dict[str, Callable[[], Iterator[None]]] = {
            "ours": lambda: ours(engine, paths, "gradient", Path(out)),
            "ours, bf16": lambda: ours(engine, paths, "gradient", Path(out)),
            "ours, with swaps": lambda: ours_with_swaps(engine, paths, Path(out)),
            "ours, gradcam": lambda: ours(engine, paths, "gradcam", Path(out)),
            "bare loop": lambda: bare(model, len(paths), batch),
            "captum": lambda: captum(model, paths, batch),
            "pytorch-grad-cam": lambda: grad_cam(model, paths, batch),
        }
        # Such as "captum: gradcam", of benchmarks/saliency.py.
        library, _, method = what.partition(": ")
        of_method: dict[str, Callable[[], Iterator[None]]] = {
            "ours": lambda: ours(engine, paths, method, Path(out)),
            "captum": lambda: captum(model, paths, batch, method),
            "pytorch-grad-cam": lambda: grad_cam(model, paths, batch, method),
        }
        model.in_bfloat16 = what == "ours, bf16"
        way = of_method[library]() if method else ways[what]()
        next(way)
        began, cpu = time.perf_counter(), _cpu_seconds()
        for _ in way:
            raise AssertionError("a way yields once")
        seconds, cpu = time.perf_counter() - began, _cpu_seconds() - cpu
        parts = sorted(Path(out).rglob("part-*.parquet"))
        masses = pd.concat(map(pd.read_parquet, parts))["foreground_mass"] if parts else []
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 1024**2
    return {
        "rate": len(paths) / seconds,
        "cpu": 1000 * cpu / len(paths),
        "peak": peak,
        "seconds": seconds,
        "masses": list(masses),
    }


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def in_a_process(
    device: str, what: str, name: str, folder: Path, count: int, batch: int
) -> dict[str, Any]:
    """Measure in a process of its own."""
    wanted = [device, what, name, str(folder), str(count), str(batch)]
    command = [sys.executable, __file__, "--one", *wanted]
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
    if sys.argv[1:2] == ["--one"]:
        device, what, name, folder, count, batch = sys.argv[2:]
        print(json.dumps(measure(device, what, name, Path(folder), int(count), int(batch))))
    else:
        main()

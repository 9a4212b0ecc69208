"""Images per second of saliency and scoring from files, beside the bare loop and the peers.

Each measurement runs in a process of its own, so that its peak of memory is its own. All of one
model run one after the other: compare within a run. Networks have random weights, which cost what
trained ones cost.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from audit.dataset.loader import Loader, LoadingPlan  # noqa: E402
from audit.dataset.readers import samples_table  # noqa: E402
from audit.dataset.samples import Sample  # noqa: E402
from audit.geometry import Geometry  # noqa: E402
from audit.measuring.donors import DonorBank, build_bank  # noqa: E402
from audit.measuring.rows import Measurement  # noqa: E402
from audit.measuring.shards import score_shard, shard_count  # noqa: E402
from audit.models import AuditedModel  # noqa: E402
from audit.run_folder import RunFolder  # noqa: E402
from audit.saliency import METHODS  # noqa: E402

MODELS = ("resnet18", "resnet50", "efficientnet_b0", "vit_b_16")
BATCHES = (1, 8, 32)
"""Of these the bare loop and Captum get the one that is fastest for them."""
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
    """The first `count` pictures below a folder."""
    found = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return found[:count]


# What is compared: each yields once when it is ready, so that no start is timed.


def ours(model: AuditedModel, paths: list[str], method: str, folder: Path) -> Iterator[None]:
    """The audit's own path without swaps: files in, parts of ``scores.parquet`` out."""
    table, run = _samples(paths), RunFolder(folder)
    plan = Measurement(METHODS[method])
    with _loader(model) as loader:
        score_shard(run, 0, table.iloc[:4], model, plan, None, loader, batch_size=4)
        yield
        _score(run, table, model, plan, None, loader)


def ours_with_swaps(model: AuditedModel, paths: list[str], folder: Path) -> Iterator[None]:
    """The same with every experiment that is on by default, and the backgrounds they need."""
    table, run = _samples(paths), RunFolder(folder)
    plan = Measurement(METHODS["gradient"], also=("noise", "shuffle"))
    with _loader(model) as loader:
        score_shard(run, 0, table.iloc[:4], model, plan, None, loader, batch_size=4)
        yield
        build_bank(
            folder / "donors", table, loader, bank=32, fill=plan.fill, seed=0, device=model.device
        )
        _score(run, table, model, plan, DonorBank(folder / "donors"), loader)


def _samples(paths: list[str]) -> pd.DataFrame:
    """Two classes by turns, so that each can lend the other its backgrounds."""
    samples = (
        Sample(path, Path(path), f"class {index % 2}", boxes=(_box(path),))
        for index, path in enumerate(paths)
    )
    return samples_table(samples, (index % 2 for index in range(len(paths))))


def _loader(model: AuditedModel) -> Loader:
    return Loader(LoadingPlan(model.geometry, "bounding_box"), os.cpu_count() or 1)


def _score(
    run: RunFolder,
    table: pd.DataFrame,
    model: AuditedModel,
    plan: Measurement,
    bank: DonorBank | None,
    loader: Loader,
) -> None:
    for shard in range(shard_count(len(table), SHARD)):
        rows = table.iloc[shard * SHARD : (shard + 1) * SHARD]
        score_shard(run, shard, rows, model, plan, bank, loader, batch_size=32)


def _box(path: str) -> tuple[float, float, float, float]:
    with Image.open(path) as opened:
        width, height = opened.size
    return BOX[0] * width, BOX[1] * height, BOX[2] * width, BOX[3] * height


def bare(model: AuditedModel, count: int, batch: int) -> Iterator[None]:
    """One forward and one input gradient on tensors that lie in memory: the limit."""
    side = model.geometry.size
    pixels = torch.rand(batch, 3, side, side)
    targets = torch.zeros(batch, 1, dtype=torch.int64)

    def step() -> Tensor:
        wanted = pixels.clone().requires_grad_(True)
        return torch.autograd.grad(model(wanted).gather(1, targets).sum(), wanted)[0]

    step()
    yield
    for _ in range(-(-count // batch)):
        step()


class Pictures(torch.utils.data.Dataset[Tensor]):
    """Files as torchvision's users load them."""

    def __init__(self, paths: list[str], side: int) -> None:
        from torchvision.transforms import v2

        self.paths = paths
        self.transform = v2.Compose(
            [
                v2.Resize(side),
                v2.CenterCrop(side),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.paths[index]) as opened:
            transformed: Tensor = self.transform(opened.convert("RGB"))
        return transformed


def captum(model: AuditedModel, paths: list[str], batch: int) -> Iterator[None]:
    """Captum's Saliency behind a DataLoader, scored with numpy."""
    from captum.attr import Saliency

    explain = Saliency(model)

    def maps(images: Tensor) -> NDArray[np.float32]:
        wanted = images.requires_grad_(True)
        found: NDArray[np.float32] = explain.attribute(wanted, target=0).amax(1).detach().numpy()
        return found

    yield from _scored(model, paths, batch, maps)


def grad_cam(model: AuditedModel, paths: list[str], batch: int) -> Iterator[None]:
    """pytorch-grad-cam behind a DataLoader, scored with numpy; on the last stage, as it advises."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    # It differentiates down to a parameter, and torchvision's models come with theirs unfrozen.
    model.requires_grad_(True)
    explain = GradCAM(model=model, target_layers=[model.module.layer4[-1]])

    def maps(images: Tensor) -> NDArray[np.float32]:
        wanted = [ClassifierOutputTarget(0)] * len(images)
        found: NDArray[np.float32] = explain(images, targets=wanted)
        return found

    yield from _scored(model, paths, batch, maps)


def _scored(
    model: AuditedModel,
    paths: list[str],
    batch: int,
    maps: Callable[[Tensor], NDArray[np.float32]],
) -> Iterator[None]:
    """Mass and pointing game of maps as a careful user would write them."""
    side = model.geometry.size
    inside = np.zeros((side, side), bool)
    inside[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = True
    loader = torch.utils.data.DataLoader(
        Pictures(paths, side), batch, num_workers=os.cpu_count() or 1
    )
    maps(torch.rand(batch, 3, side, side))
    yield
    rows = []
    for images in loader:
        with torch.no_grad():
            predictions = model(images).argmax(1).tolist()
        found = maps(images).astype(np.float64)
        for one, prediction in zip(found, predictions, strict=True):
            mass = one[inside].sum() / one.sum()
            hit = bool(inside[np.unravel_index(one.argmax(), one.shape)])
            rows.append((prediction, mass, hit))


def measure(what: str, name: str, folder: Path, count: int, batch: int) -> dict[str, float]:
    """Time one way: images per second, CPU milliseconds an image, the peak of memory in MB.

    The CPU time is that of the process and of its children, whose starts are a part of it.
    """
    module, side = network(name)
    model = AuditedModel(module, None, Geometry(side))
    paths = pictures(folder, count)
    with tempfile.TemporaryDirectory() as out:
        ways: dict[str, Callable[[], Iterator[None]]] = {
            "ours": lambda: ours(model, paths, "gradient", Path(out)),
            "ours swaps": lambda: ours_with_swaps(model, paths, Path(out)),
            "ours gradcam": lambda: ours(model, paths, "gradcam", Path(out)),
            "bare": lambda: bare(model, len(paths), batch),
            "captum": lambda: captum(model, paths, batch),
            "pytorch-grad-cam": lambda: grad_cam(model, paths, batch),
        }
        way = ways[what]()
        next(way)
        began, cpu = time.perf_counter(), _cpu_seconds()
        for _ in way:
            raise AssertionError("a way yields once")
        seconds, cpu = time.perf_counter() - began, _cpu_seconds() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "rate": len(paths) / seconds,
        "cpu": 1000 * cpu / len(paths),
        "peak": peak,
        "seconds": seconds,
    }


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def in_a_process(what: str, name: str, folder: Path, count: int, batch: int) -> dict[str, Any]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--one", what, name, str(folder), str(count), str(batch)]
    done = subprocess.run(command, capture_output=True, check=False, cwd=ROOT, text=True)
    if done.returncode:
        raise SystemExit(f"{what} of {name} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(names: list[str], folder: Path, count: int, batches: list[int]) -> None:
    """Print the table of models: every way on the same pictures."""
    print(
        f"{'model':<16} {'way':<18} {'batch':>5} {'images/s':>9} {'of bare':>8} {'CPU ms':>7} "
        f"{'peak MB':>8}"
    )
    has_cam = importlib.util.find_spec("pytorch_grad_cam") is not None
    for name in names:
        tries = [(in_a_process("bare", name, folder, count, b), b) for b in batches]
        limit, best = max(tries, key=lambda one: one[0]["rate"])
        _line(name, "bare loop", best, limit, limit)
        plain = in_a_process("ours", name, folder, count, 32)
        _line(name, "ours", 32, plain, limit)
        peers = [(in_a_process("captum", name, folder, count, b), b) for b in batches]
        found, batch = max(peers, key=lambda one: one[0]["rate"])
        _line(name, "captum", batch, found, limit)
        if name.startswith("resnet"):
            found = in_a_process("ours gradcam", name, folder, count, 32)
            _line(name, "ours, gradcam", 32, found, limit)
            if has_cam:
                found = in_a_process("pytorch-grad-cam", name, folder, count, 32)
                _line(name, "pytorch-grad-cam", 32, found, limit)
        found = in_a_process("ours swaps", name, folder, count, 32)
        _line(name, "ours, with swaps", 32, found, limit)
        share = (plain["rate"] / found["rate"] - 1) / VARIANTS
        print(f"{name:<16} each of {VARIANTS} variants costs {share:.2f} of ours", flush=True)
    if not has_cam:
        print("pytorch-grad-cam is not installed, so it is not compared: pip install grad-cam")


def _line(name: str, way: str, batch: int, found: dict[str, Any], limit: dict[str, Any]) -> None:
    print(
        f"{name:<16} {way:<18} {batch:>5} {found['rate']:>9.1f} "
        f"{found['rate'] / limit['rate']:>8.2f} {found['cpu']:>7.1f} {found['peak']:>8.0f}",
        flush=True,
    )


def grow(counts: list[int]) -> None:
    """Print what a tiny network costs on more and more pictures of 64 pixels."""
    print(f"{'images':>8} {'seconds':>8} {'images/s':>9} {'peak MB':>8}")
    with tempfile.TemporaryDirectory() as folder:
        paint(Path(folder), max(counts), (64, 64))
        for count in counts:
            found = in_a_process("ours", "tiny", Path(folder), count, 32)
            print(
                f"{count:>8,} {found['seconds']:>8.1f} {found['rate']:>9.1f} {found['peak']:>8.0f}",
                flush=True,
            )


def main() -> None:
    """Read the command line and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, help="a folder of photographs; else painted ones")
    parser.add_argument("--count", type=int, default=128, help="pictures a measurement")
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--batches", type=int, nargs="*", default=list(BATCHES))
    parser.add_argument("--grow", type=int, nargs="*", default=[1000, 10000])
    asked = parser.parse_args()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, load before: {load}")
    with tempfile.TemporaryDirectory() as painted:
        if asked.images is None:
            paint(Path(painted), asked.count, (500, 375))
        compare(asked.models, asked.images or Path(painted), asked.count, asked.batches)
    if asked.grow:
        grow(asked.grow)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        what, name, folder, count, batch = sys.argv[2:]
        print(json.dumps(measure(what, name, Path(folder), int(count), int(batch))))
    else:
        main()

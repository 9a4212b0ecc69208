"""The ways that are compared, each timed in a process of its own: ``python -m benchmarks.ways``."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from audit.dataset.loader import Loader, LoadingPlan
from audit.geometry import Geometry
from audit.measuring.backgrounds import build_bank
from audit.measuring.donors import DonorBank
from audit.measuring.plan import MeasurementPlan, Workbench
from audit.measuring.shards import score_shard, shard_count
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.models.rounding import ROUNDING
from audit.run_folder import RunFolder
from audit.saliency import METHODS
from benchmarks.peers import STEPS, captum, grad_cam
from benchmarks.workload import SHARD, network, part_of, pictures, samples_of

OURS = {"cpu": 32, "cuda": 128}
"""Images in a batch of ours: what ``run.batch_size: auto`` takes on two cores, and on a GPU."""


# Each yields once when it is ready, so that no start is timed.


def ours(model: Engine, paths: list[str], method: str, folder: Path) -> Iterator[None]:
    """The audit's own path without swaps: files in, parts of ``scores.parquet`` out."""
    table, run = samples_of(paths), RunFolder(folder)
    options = {"steps": STEPS} if method == "integrated_gradients" else {}
    plan = MeasurementPlan(partial(METHODS[method], **options))
    first = MeasurementPlan(partial(METHODS[method], **dict.fromkeys(options, 1)))
    # A GPU loads its kernels when a batch of that size first comes.
    warm = 4 if model.device.type == "cpu" else OURS["cuda"]
    with _loader(model) as loader:
        bench = Workbench(table, loader, model, first, warm)
        score_shard(part_of(run, table, 0, warm), bench, None)
        yield
        _score(run, Workbench(table, loader, model, plan, OURS[model.device.type]), None)


def ours_with_swaps(model: Engine, paths: list[str], folder: Path) -> Iterator[None]:
    """The same with every experiment that is on by default, and the backgrounds they need."""
    table, run = samples_of(paths), RunFolder(folder)
    plan = MeasurementPlan(METHODS["gradient"], extra=("noise", "shuffle"))
    with _loader(model) as loader:
        score_shard(part_of(run, table, 0, 4), Workbench(table, loader, model, plan, 4), None)
        yield
        build_bank(
            folder / "donors", table, loader, bank=32, fill=plan.fill, seed=0, device=model.device
        )
        bench = Workbench(table, loader, model, plan, OURS[model.device.type])
        _score(run, bench, DonorBank(folder / "donors"))


def bare(model: AuditedModel, count: int, batch: int) -> Iterator[None]:
    """One forward and one input gradient on tensors that lie in memory: the limit."""
    side, device = model.geometry.size, model.device
    pixels = torch.rand(batch, 3, side, side, device=device)
    targets = torch.zeros(batch, 1, dtype=torch.int64, device=device)

    def step() -> Tensor:
        wanted = pixels.clone().requires_grad_(True)
        return torch.autograd.grad(model(wanted).gather(1, targets).sum(), wanted)[0]

    wait_for(step())
    yield
    for _ in range(-(-count // batch)):
        last = step()
    wait_for(last)


def wait_for(values: Tensor) -> None:
    """Until a GPU has computed them."""
    if not bool(values.sum().isfinite()):
        raise SystemExit("the network gave something that is not finite")


def _loader(model: Engine) -> Loader:
    return Loader(LoadingPlan(model.geometry, "bounding_box"), len(os.sched_getaffinity(0)))


def _score(run: RunFolder, bench: Workbench, bank: DonorBank | None) -> None:
    for shard in range(shard_count(len(bench.table), SHARD)):
        score_shard(part_of(run, bench.table, shard, SHARD), bench, bank)


def measure(
    device: str, what: str, name: str, folder: Path, count: int, batch: int
) -> dict[str, Any]:
    """Time one way: images per second, CPU milliseconds an image, the peak of memory in MB.

    `cpu` is that of the process and of its children, whose starts are a part of it; `own` is that
    of the process alone, which others on the machine hardly change. Memory is that of the device.
    Ours say the foreground mass of each image, too.
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
        rounded = Engine(model, rounding=ROUNDING["tf32"])
        of_method: dict[str, Callable[[], Iterator[None]]] = {
            "ours": lambda: ours(engine, paths, method, Path(out)),
            "ours, tf32": lambda: ours(rounded, paths, method, Path(out)),
            "captum": lambda: captum(model, paths, batch, method),
            "pytorch-grad-cam": lambda: grad_cam(model, paths, batch, method),
        }
        model.in_bfloat16 = what == "ours, bf16"
        way = of_method[library]() if method else ways[what]()
        next(way)
        began, cpu, own = time.perf_counter(), _cpu_seconds(), time.process_time()
        for _ in way:
            raise AssertionError("a way yields once")
        seconds, cpu = time.perf_counter() - began, _cpu_seconds() - cpu
        own = time.process_time() - own
        parts = sorted(Path(out).rglob("part-*.parquet"))
        masses = pd.concat(map(pd.read_parquet, parts))["foreground_mass"] if parts else []
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 1024**2
    return {
        "rate": len(paths) / seconds,
        "cpu": 1000 * cpu / len(paths),
        "own": 1000 * own / len(paths),
        "peak": peak,
        "seconds": seconds,
        "masses": list(masses),
    }


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    device, what, name, folder, count, batch = sys.argv[1:]
    print(json.dumps(measure(device, what, name, Path(folder), int(count), int(batch))))

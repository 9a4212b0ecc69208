"""The GPU's path without Prefect: agreement with the CPU, waits, memory, images a second.

Each part stands by itself: one that fails is a line of the table, and the others go on. Networks
have random weights, whose BatchNorm has seen noise; the JPEGs are painted. Without a GPU the parts
that need none run on the CPU, which shows that this file works and says nothing of speed.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from audit.cmv import Execution, visualize_classes  # noqa: E402
from audit.dataset.batches import iterate_batches  # noqa: E402
from audit.measuring.backgrounds import build_bank  # noqa: E402
from audit.models.engine import Engine  # noqa: E402
from audit.models.rounding import tf32  # noqa: E402
from audit.saliency import class_scores  # noqa: E402
from benchmarks.gpu_batch import batch_times  # noqa: E402
from benchmarks.gpu_bench import Bench, seconds_of, wait  # noqa: E402
from benchmarks.gpu_photographs import large_photographs  # noqa: E402

COMPARED = (
    "foreground_mass",
    "rank_accuracy",
    "probability",
    "background_only_probability",
    "swap_same_probability",
    "foreground_noise_probability",
)


def bank(bench: Bench) -> None:
    """Backgrounds a second."""
    some = bench.table.iloc[: min(len(bench.table), 256)]
    began = time.perf_counter()
    with bench.loader() as loader:
        made = build_bank(
            bench.folder / "donors",
            some,
            loader,
            bank=128,
            fill="inpaint",
            seed=0,
            device=bench.device,
        )
    bench.say("backgrounds made a second", f"{made / (time.perf_counter() - began):.0f} of {made}")


def agreement(bench: Bench) -> None:
    """The largest difference of any image's numbers between the CPU and the device."""
    ways = [("resnet50", "gradient"), ("resnet50", "gradcam"), ("vit_b_16", "gradient")]
    count, donors = bench.asked.few, bench.bank
    cpu = {
        way: bench.scored(bench.engine(way[0], device="cpu"), way[1], count, donors)[2]
        for way in ways
    }
    for (name, method), precision in itertools.product(ways, ("float32", "auto", "tf32")):
        here = cpu[name, method]
        _, _, there = bench.scored(bench.engine(name, precision), method, count, donors)
        moved = {column: float((here[column] - there[column]).abs().max()) for column in COMPARED}
        same = bool((here["status"] == there["status"]).all())
        word = "agrees" if moved["foreground_mass"] < 1e-3 and same else "DIFFERS"
        shown = ", ".join(f"{column} {value:.0e}" for column, value in moved.items())
        bench.say(f"{name}, {method}, {precision}", f"{word}: {shown}")


def folding(bench: Bench) -> None:
    """Whether BatchNorm goes into the convolutions on this device."""
    for name in ("resnet50", "efficientnet_b0"):
        engine = bench.engine(name)
        image = torch.rand(1, 3, 224, 224, device=bench.device)
        bench.say(f"{name}: BatchNorm folded", str(engine.folded(image) is not engine.model))


def bare(bench: Bench) -> None:
    """Forward and input gradient on tensors in memory: the limit."""
    batch = bench.asked.batch
    targets = torch.zeros(batch, 1, dtype=torch.int64, device=bench.device)
    for name in bench.asked.models:
        for precision in ("float32", "tf32", "bf16"):
            engine = bench.engine(name, precision)
            rates = []
            for layout in (torch.contiguous_format, torch.channels_last):
                pixels = torch.rand(batch, 3, 224, 224, device=bench.device)
                pixels = pixels.contiguous(memory_format=layout)

                def step(engine: Engine = engine, pixels: Tensor = pixels) -> Tensor:
                    asked = pixels.clone().requires_grad_(True)
                    score = engine(asked).gather(1, targets).sum()
                    return torch.autograd.grad(score, asked)[0]

                with tf32(precision == "tf32", bench.device):
                    rates.append(batch / seconds_of(step, bench.asked.times))
            bench.bare[f"{name} {precision}"] = max(rates)
            with torch.no_grad(), tf32(precision == "tf32", bench.device):
                asked = partial(class_scores, engine, pixels)
                forward = batch / seconds_of(asked, bench.asked.times)
            bench.say(
                f"{name}, bare loop, {precision}",
                f"{rates[0]:.0f} images/s, channels last {rates[1]:.0f}; scores {forward:.0f}",
            )


def end_to_end(bench: Bench) -> None:
    """Images a second from JPEG files to a table."""
    count = bench.asked.count
    ways = [("gradient", "auto"), ("gradient", "tf32"), ("gradient", "bf16"), ("gradcam", "auto")]
    for name in bench.asked.models:
        for method, precision in ways:
            if name.startswith("vit") and method == "gradcam":
                continue
            engine = bench.engine(name, precision)
            seconds, cpu, rows = bench.scored(engine, method, count, None)
            limit = bench.bare.get(f"{name} {precision.replace('auto', 'float32')}", np.nan)
            rate = count / seconds
            bench.say(
                f"{name}, files to rows, {method}, {precision}",
                f"{rate:.0f} images/s, {rate / limit:.2f} of "
                f"bare; {1e3 * cpu / count:.2f} CPU ms an image in the parent; "
                f"{(rows['status'] == 'scored').mean():.2f} scored",
            )
        some = max(8, count // 4)
        seconds, cpu, _ = bench.scored(bench.engine(name), "gradient", some, bench.bank)
        bench.say(
            f"{name}, files to rows, all experiments",
            f"{some / seconds:.0f} images/s; {1e3 * cpu / some:.2f} CPU ms an image in the parent",
        )
    with bench.loader() as loader:
        began = time.perf_counter()
        collections.deque(iterate_batches(bench.table, loader, bench.asked.batch), maxlen=0)
        bench.say("loading alone", f"{count / (time.perf_counter() - began):.0f} images/s")


def out_of_memory(bench: Bench) -> None:
    """A batch that does not fit is cut until it does, and no row is lost."""
    if bench.device.type != "cuda":
        bench.say("out of memory", "needs a GPU")
        return
    engine = Engine(bench.engine(bench.asked.models[0]).model)
    count = 4 * bench.asked.batch
    torch.cuda.reset_peak_memory_stats()
    bench.scored(engine, "gradient", bench.asked.batch, None)
    held, peak = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction((held + 0.3 * (peak - held)) / total)
    try:
        _, _, rows = bench.scored(engine, "gradient", count, None)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    bench.say(
        "out of memory",
        f"{len(rows)} rows of {count}, {(rows['status'] == 'scored').sum()} scored, "
        f"{engine.capacity.images_at_a_time(bench.asked.batch)} images at a time where a batch of "
        f"{bench.asked.batch} took {peak / 2**30:.1f} GiB",
    )


def cmvs(bench: Bench) -> None:
    """Class model visualizations a second, and in which numbers they are climbed."""
    classes = list(range(bench.asked.classes))
    for half in (True, False):
        engine = bench.engine(bench.asked.models[0])
        torch.cuda.reset_peak_memory_stats() if bench.device.type == "cuda" else None
        began = time.perf_counter()
        made = list(
            visualize_classes(
                engine,
                classes,
                steps=bench.asked.steps,
                early=False,
                execution=Execution(half=half),
            )
        )
        wait()
        seconds = time.perf_counter() - began
        robust = np.mean([one.robust_probability for one in made])
        bench.say(
            f"CMVs, {'bf16' if half else 'float32'}, {bench.asked.steps} steps",
            f"{len(made) / seconds:.2f} classes/s, recognised under zooms {robust:.2f}",
        )


PARTS: dict[str, Callable[[Bench], None]] = {
    "bank": bank,
    "agreement": agreement,
    "folding": folding,
    "bare": bare,
    "end to end": end_to_end,
    "large photographs": large_photographs,
    "batch": batch_times,
    "out of memory": out_of_memory,
    "CMVs": cmvs,
}


def main() -> None:
    """Read the command line, run the parts, print the table."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if gpu else "cpu")
    parser.add_argument("--models", nargs="*", default=["resnet50", "vit_b_16"])
    parser.add_argument("--count", type=int, default=4096 if gpu else 8, help="pictures")
    parser.add_argument("--few", type=int, default=16 if gpu else 4, help="for the comparison")
    parser.add_argument("--batch", type=int, default=128 if gpu else 4)
    parser.add_argument("--classes", type=int, default=64 if gpu else 2, help="CMVs")
    parser.add_argument("--steps", type=int, default=128 if gpu else 2, help="of a CMV")
    parser.add_argument("--times", type=int, default=10 if gpu else 1)
    parser.add_argument("--seconds", type=float, default=330, help="then no part begins any more")
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=list(PARTS))
    asked = parser.parse_args()
    name = torch.cuda.get_device_name() if asked.device.startswith("cuda") else "CPU"
    print(f"torch {torch.__version__}, {name}, {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(asked, Path(folder))
        for part in asked.only:
            if time.time() - bench.began > asked.seconds:
                bench.say(part, "not begun: out of time")
                continue
            try:
                PARTS[part](bench)
            except Exception as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{Path(place.filename).name}:{place.lineno}"
                bench.say(part, f"FAILED: {type(error).__name__}: {str(error)[:200]} at {where}")
    width = max(len(name) for name, _ in bench.rows)
    print("\n" + "\n".join(f"{name:<{width}}  {value}" for name, value in bench.rows))


if __name__ == "__main__":
    main()

"""What is done to one batch, timed thing by thing, and the lines at which the GPU is waited for."""

from __future__ import annotations

import collections
import warnings
from pathlib import Path

import torch

from audit.dataset.batches import Batch, iterate_batches, on_device
from audit.interventions import FILLS, noise_of, removal_mask, with_noise
from audit.measuring.donors import DonorBank
from audit.measuring.rows import measure_batch
from audit.pixels import to_float
from benchmarks.gpu_bench import Bench, seconds_of


def batch_times(bench: Bench) -> None:
    """Milliseconds of each thing that is done to a batch, and where the GPU is waited for."""
    size = bench.asked.batch
    with bench.loader() as loader:
        batch = next(iter(iterate_batches(bench.table.iloc[:size], loader, size)))
    images = to_float(on_device(batch.images, bench.device))
    hole = removal_mask(
        on_device(batch.foreground, bench.device), on_device(batch.ignored, bench.device)
    )
    everywhere = torch.ones(len(images), 1, 1, 1, device=bench.device)
    hashes = [one.sha256 for one in batch.loaded]
    donors = bench.bank
    for name, done in {
        "fill: inpaint": lambda: FILLS["inpaint"](images, hole),
        "fill: smooth": lambda: FILLS["smooth"](images, hole),
        "noise on object and rest": lambda: [
            with_noise(images, everywhere, noise.to(images))
            for noise in [noise_of(images.shape[1:], range(len(images)))]
            for _ in range(2)
        ],
        "backgrounds fetched": lambda: donors.fetch([0] * len(images), bench.device),
        "donors drawn": lambda: [donors.draw(0, sha256, 1, 4) for sha256 in hashes],
        "images sent": lambda: to_float(on_device(batch.images, bench.device)),
    }.items():
        bench.say(f"ms a batch of {size}: {name}", f"{1e3 * seconds_of(done, 3):.1f}")
    if bench.device.type == "cuda":
        _waits(bench, batch, donors)


def _waits(bench: Bench, batch: Batch, donors: DonorBank) -> None:
    engine = bench.engine(bench.asked.models[0])
    for name, held in (("without swaps", None), ("with all experiments", donors)):
        plan = bench.plan(swaps=held is not None)
        measure_batch(engine, batch, plan, held)()
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                measure_batch(engine, batch, plan, held)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        lines = collections.Counter(
            f"{Path(one.filename).name}:{one.lineno}"
            for one in seen
            if "synchron" in str(one.message)
        )
        bench.say(f"waits a batch, {name}", f"{lines.total()}: {dict(lines.most_common(12))}")

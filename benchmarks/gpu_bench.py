"""What every part of the GPU's benchmark works with: networks, pictures, timing, the table."""

from __future__ import annotations

import argparse
import copy
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from audit.dataset.loader import Loader, LoadingPlan
from audit.geometry import Geometry
from audit.measuring.donors import DonorBank
from audit.measuring.plan import MeasurementPlan, Workbench
from audit.measuring.shards import score_shard
from audit.models import AuditedModel
from audit.models.engine import Engine
from audit.models.rounding import ROUNDING
from audit.run_folder import RunFolder
from audit.saliency import METHODS
from benchmarks.workload import SHARD, network, paint, part_of, pictures, samples_of


class Bench:
    """What every part works with, and the table that they fill."""

    def __init__(self, asked: argparse.Namespace, folder: Path) -> None:
        self.asked, self.folder = asked, folder
        self.device = torch.device(asked.device)
        self.began, self.rows = time.time(), list[tuple[str, str]]()
        (folder / "images").mkdir()
        paint(folder / "images", min(asked.count, 512), (500, 375))
        self.table = samples_of(pictures(folder / "images", asked.count))
        self.bare: dict[str, float] = {}
        self.engines: dict[tuple[str, str, str], Engine] = {}

    def say(self, name: str, value: str) -> None:
        """Write a row of the table, now and once more at the end."""
        self.rows.append((name, value))
        print(f"[{time.time() - self.began:4.0f} s] {name}: {value}", flush=True)

    def engine(self, name: str, precision: str = "auto", device: str = "") -> Engine:
        """A network on a device; the same weights wherever it is."""
        key = (name, precision, device or str(self.device))
        if key not in self.engines:
            held, side = network(name)
            # Of one network there are engines on several devices.
            module = copy.deepcopy(held)
            module.train()
            with torch.no_grad():
                for _ in range(3):
                    module(torch.rand(4, 3, side, side))
            model = AuditedModel(module, None, Geometry(side)).to(torch.device(key[2]))
            model.in_bfloat16 = precision == "bf16"
            self.engines[key] = Engine(model, rounding=ROUNDING[precision])
        return self.engines[key]

    def loader(self) -> Loader:
        """Decoding children, as a run has them."""
        return Loader(LoadingPlan(Geometry(224), "bounding_box"), min(16, os.cpu_count() or 1))

    def plan(self, method: str = "gradient", swaps: bool = True) -> MeasurementPlan:
        """What is done to every image."""
        options = {"steps": 8} if method == "integrated_gradients" else {}
        extra = ("noise", "shuffle") if swaps else ()
        return MeasurementPlan(partial(METHODS[method], **options), extra=extra)

    @property
    def bank(self) -> DonorBank:
        """The backgrounds that the part `bank` made."""
        return DonorBank(self.folder / "donors")

    def scored(
        self, engine: Engine, method: str, count: int, bank: DonorBank | None
    ) -> tuple[float, float, pd.DataFrame]:
        """Seconds, CPU seconds of this process, and rows, of files to parts."""
        table = self.table.iloc[:count]
        plan = self.plan(method, bank is not None)
        with tempfile.TemporaryDirectory(dir=self.folder) as out, self.loader() as loader:
            run = RunFolder(Path(out))
            bench = Workbench(table, loader, engine, plan, self.asked.batch)
            warm = min(count, 2 * self.asked.batch)
            score_shard(part_of(run, table.iloc[:warm], 0, warm), bench, bank)
            wait()
            began, cpu = time.perf_counter(), time.process_time()
            for shard in range(-(-count // SHARD)):
                score_shard(part_of(run, table, shard, SHARD), bench, bank)
            wait()
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            parts = sorted(Path(out).rglob("part-*.parquet"))
            rows = pd.concat(map(pd.read_parquet, parts)).set_index("sample_id")
        return seconds, cpu, rows


def wait() -> None:
    """Until the GPU has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds_of(function: Callable[[], object], times: int) -> float:
    """Of one call, after one that is not counted."""
    function()
    wait()
    began = time.perf_counter()
    for _ in range(times):
        function()
    wait()
    return (time.perf_counter() - began) / times

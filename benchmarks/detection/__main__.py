"""``python -m benchmarks.detection``: prepare worlds, audit them, print the tables.

The rule is frozen; these seeds were used for nothing else. Worlds that lie ready in the folder are
not made again, so the benchmark can be stopped and goes on.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
import torch

from benchmarks.detection.audits import VARIANTS, audit_world
from benchmarks.detection.cmvs import measure_cmvs
from benchmarks.detection.files import prepare
from benchmarks.detection.methods import measure_methods
from benchmarks.detection.networks import TRUNK
from benchmarks.detection.quality import indicator_table, method_table, read, verdict_row

PLANTED = {
    7500 + k: architecture for k, architecture in enumerate(["plain", "residual", "depthwise"] * 4)
}
CLEAN = {
    7400 + k: architecture for k, architecture in enumerate(["plain", "residual", "depthwise"] * 4)
}
ON_TRUNK = {7200: False, 7201: False, 7202: False, 7210: True}
"""Seeds of heads on an ImageNet trunk, and whether their world is clean."""


def worlds() -> list[tuple[int, str, bool]]:
    """Seed, architecture and cleanness of every world."""
    return [
        *((seed, name, False) for seed, name in PLANTED.items()),
        *((seed, name, True) for seed, name in CLEAN.items()),
        *((seed, TRUNK, clean) for seed, clean in ON_TRUNK.items()),
    ]


def one_world(out: Path, seed: int, architecture: str, clean: bool, methods: bool) -> str:
    """Prepare and audit one world in this process."""
    torch.set_num_threads(1)
    folder = out / ("trunk" if architecture == TRUNK else "small") / f"world-{seed}"
    world = prepare(folder, seed, architecture, clean=clean)
    # A large network pays for every picture: the masks of other hands and one size only.
    variants = [v for v in VARIANTS if v[0] == 20] if architecture == TRUNK else VARIANTS
    for size, quality in variants:
        run = audit_world(folder, world, size, quality)
        if methods and (size, quality) == (20, "exact") and architecture != TRUNK:
            measure_methods(folder / f"{size}-{quality}.yaml", run)
            measure_cmvs(folder / f"{size}-{quality}.yaml", run)
    return f"{seed} {architecture} {'clean' if clean else 'planted'}"


def show(out: Path) -> None:
    """Print every table that the worlds at hand allow."""
    pd.set_option("display.width", 200, "display.max_columns", 20, "display.max_colwidth", 60)
    for group in ("small", "trunk"):
        if not list((out / group).glob("world-*/world.json")):
            continue
        table = read(out / group, 20, "exact")
        counts = table.groupby(["clean", "truth"]).size().to_dict()
        print(f"\n== {group} networks, {table['world'].nunique()} worlds; classes: {counts}")
        print("\nIndicators, 20 images a class, exact masks")
        print(indicator_table(table).round(3).to_string(index=False))
        if group == "small":
            print("\nSaliency methods as indicators")
            print(method_table(out / group, table).round(3).to_string(index=False))
        for size, quality in VARIANTS:
            if list((out / group).glob(f"world-*/runs/{size}-{quality}/classes.parquet")):
                print(f"\nVerdict, {size} images a class, {quality} masks")
                held = verdict_row(read(out / group, size, quality))
                print("\n".join(f"  {name}: {said}" for name, said in held.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-detection"))
    parser.add_argument("--seeds", type=int, nargs="*", help="only these worlds")
    parser.add_argument(
        "--no-methods", action="store_true", help="without saliency methods and CMVs"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--show", action="store_true", help="only print what lies ready")
    options = parser.parse_args(arguments)
    chosen = [w for w in worlds() if not options.seeds or w[0] in options.seeds]
    if not options.show:
        # One thread each: two networks side by side are faster than one on two cores.
        os.environ["OMP_NUM_THREADS"] = "1"
        with ProcessPoolExecutor(options.jobs, max_tasks_per_child=1) as pool:
            jobs = [pool.submit(one_world, options.out, *w, not options.no_methods) for w in chosen]
            for job in jobs:
                print("done:", job.result(), file=sys.stderr, flush=True)
    show(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

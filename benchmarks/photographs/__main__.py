"""``python -m benchmarks.photographs``: compose worlds, audit them, print the tables.

The material is not part of the project: cut-outs of photographed objects with an alpha channel
(``cutouts/CLASS``) and photographs of scenes (``scenes/SCENE``), in a folder or an archive. Weights
are one's own: ``efficientnet-lite0*.pth`` and torchvision's ``mobilenet_v2*.pth``. What lies ready
is not made again, so the benchmark can be stopped and goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.photographs.audits import VARIANTS, audit_world, class_rows
from benchmarks.photographs.figures import show
from benchmarks.photographs.files import prepare
from benchmarks.photographs.material import folder_of
from benchmarks.photographs.worlds import make_world

DEVELOPMENT = {100: False}
"""Seeds on which rules were set, and whether their world is clean."""
REPORTED = {**dict.fromkeys(range(200, 210), False), **dict.fromkeys(range(210, 215), True)}
"""Seeds that no rule has seen before it was frozen."""
TRUNKS = (("lite", "head"), ("mobilenet", "stage"), ("lite", "stage"), ("mobilenet", "head"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.photographs", description=__doc__)
    parser.add_argument("--photographs", type=Path, required=True, metavar="DIR|TAR")
    parser.add_argument("--weights", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-photographs"))
    parser.add_argument("--seeds", type=int, nargs="*", help="only these worlds")
    parser.add_argument("--masks", nargs="*", default=[f"{s}-{h}" for s, h in VARIANTS])
    parser.add_argument("--prepare-only", action="store_true")
    parser.add_argument("--show", action="store_true", help="only print what lies ready")
    options = parser.parse_args(arguments)
    seeds = options.seeds or list(REPORTED)
    if not options.show:
        material = folder_of(options.photographs, options.out)
        # One thread: two processes with a half of the seeds each are faster than two threads.
        torch.set_num_threads(1)
        for seed in seeds:
            one_world(options, material, seed)
    show(options.out, seeds, [f"{size}-{hand}" for size, hand in VARIANTS])
    return 0


def one_world(options: argparse.Namespace, material: Path, seed: int) -> None:
    """Prepare and audit one world, and write its classes beside it, a JSON row a world."""
    started = time.monotonic()
    trunk, tail = TRUNKS[seed % len(TRUNKS)]
    clean = {**DEVELOPMENT, **REPORTED}[seed]
    world = make_world(material, seed, trunk=trunk, tail=tail, clean=clean)
    folder = options.out / f"world-{seed}"
    found = prepare(folder, world, options.weights)
    for size, hand in () if options.prepare_only else VARIANTS:
        if f"{size}-{hand}" in options.masks:
            audit_world(folder, found, size, hand)
    row = {"seed": seed, "seconds": time.monotonic() - started} | class_rows(folder)
    (folder / "row.json").write_text(json.dumps(row))
    print(f"done: {seed} {trunk} {tail} in {row['seconds']:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

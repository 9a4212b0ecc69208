"""``python -m benchmarks.detection.more``: worlds of many images, with the second look and without.

Unlike the other worlds these have 150 images a class, of which the first 20 or 50 meet donors.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pandas as pd
import torch

from audit.pipeline.session import AuditRequest
from benchmarks.detection.audits import run_steps
from benchmarks.detection.files import manifest, prepare, write_images
from benchmarks.detection.worlds import make_world

IMAGES = 150
SEEDS = {7800: ("plain", False), 7801: ("residual", False), 7802: ("depthwise", False)}
SEEDS |= {7810: ("plain", True)}
"""Architecture, and whether the world is clean."""
AUDITS = {
    "20 images": (20, 0),
    "20 and up to 40 more": (20, 40),
    "50 images": (50, 0),
    "50 and up to 100 more": (50, 100),
    "60 images": (60, 0),
    "150 images": (150, 0),
}
"""Images of a class that meet donors at first, and further ones at most."""


def audit_world(out: Path, seed: int, ways: int) -> None:
    """Paint a world, train its network and audit it in some ways, unless that was done."""
    architecture, clean = SEEDS[seed]
    folder = out / f"world-{seed}"
    prepare(folder, seed, architecture, clean=clean)
    if not (folder / f"images-{IMAGES}").exists():
        write_images(make_world(seed, clean=clean), folder, [IMAGES])
    path = manifest(folder, architecture, IMAGES, "exact")
    for name, (first, more) in islice(AUDITS.items(), ways):
        run = folder / "runs" / name.replace(" ", "-")
        if not (run / "findings.json").exists():
            words = (f"interventions.images={first}", f"interventions.more={more}")
            words += ("interventions.extra=[]", "run.shard_size=2000")
            run_steps(AuditRequest(str(path), str(run), words, device="cpu"))
            shutil.rmtree(run / "donors", ignore_errors=True)


def show(out: Path) -> pd.DataFrame:
    """A row an audit: what the verdicts of all worlds are, beside the truth."""
    rows = []
    for name in AUDITS:
        found = [
            pd.read_parquet(path / "runs" / name.replace(" ", "-") / "classes.parquet").merge(
                pd.DataFrame(pd.read_json(path / "world.json")["classes"].tolist())[
                    ["name", "truth"]
                ].rename(columns={"name": "label_name"}),
                on="label_name",
            )
            for path in sorted(out.glob("world-*"))
            if (path / "runs" / name.replace(" ", "-") / "classes.parquet").exists()
        ]
        if not found:
            continue
        table = pd.concat(found)
        row: dict[str, object] = {"audit": name, "worlds": len(found)}
        for truth, own in table.groupby("truth"):
            counts = own["verdict"].value_counts().to_dict()
            row[str(truth)] = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
        row["met donors, a class"] = round(float(table["judged"].mean()), 1)
        rows.append(row)
    return pd.DataFrame(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit the worlds and print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection.more")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-more-images"))
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    parser.add_argument("--ways", type=int, default=len(AUDITS), help="only the first audits")
    parser.add_argument("--show", action="store_true", help="only print what lies ready")
    options = parser.parse_args(arguments)
    if not options.show:
        torch.set_num_threads(1)
        for seed in options.seeds:
            audit_world(options.out, seed, options.ways)
            print("done:", seed, file=sys.stderr, flush=True)
    print(show(options.out).to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""False alarms over a year, by resampling the stored rows of finished runs; no model is asked.

    python -m benchmarks.history [RUN ...] [--prepare DIR] [--years N] [--halves N] [--images N]

Of each run the clean classes are resampled: those whose truth was measured (worlds of
``--prepare``), or that the run itself does not call suspect. Rows are drawn with replacement, so a
world with few images understates how weeks differ: the answer is for worlds like the run, with so
many images. The follow-up is resampled with the images; the pairs that it looks at are those of the
run.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.history.questions import cues, halves, retrained, years
from benchmarks.history.resampling import World, opened
from benchmarks.history.worlds import prepare

CLEAN = {7430: "plain", 7431: "residual"}
PLANTED = {7530: "plain"}
"""Seeds of the worlds that ``--prepare`` makes, and their architectures."""


def said(what: str, counts: Counter[str]) -> None:
    """Print one answer."""
    print(f"  {what}:", ", ".join(f"{key} {counts[key]}" for key in sorted(counts)), flush=True)


def ask(world: World, asked: argparse.Namespace) -> None:
    """The questions to one run."""
    clean = world.of("clean")
    held = {len(world.places[name]) for name in clean}
    print(f"{world.name}: {len(clean)} clean classes of {sorted(held)} images", flush=True)
    for images in asked.images:
        random = np.random.default_rng(asked.seed)
        said(f"years, {images} images", years(world, random, asked.years, images))
    if asked.halves:
        random, images = np.random.default_rng(asked.seed), max(asked.images)
        said("halves", halves(world, random, asked.halves, images))


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask the questions of each run, and of the pairs that are named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--prepare", type=Path, help="make worlds here first, an hour of CPU")
    parser.add_argument(
        "--retrained", nargs=2, type=Path, action="append", default=[], metavar="RUN"
    )
    parser.add_argument("--other-seed", nargs=2, type=Path, action="append", default=[])
    parser.add_argument("--years", type=int, default=200)
    parser.add_argument("--halves", type=int, default=200)
    parser.add_argument("--times", type=int, default=20, help="of cues and retrainings")
    parser.add_argument("--images", type=int, nargs="+", default=[20, 40])
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    pairs, seeds, runs = list(asked.retrained), list(asked.other_seed), list(asked.runs)
    if asked.prepare:
        for seed, architecture in CLEAN.items():
            made = prepare(asked.prepare / f"world-{seed}", seed, architecture, clean=True)
            runs, seeds = [*runs, made[0]], [*seeds, made]
        for seed, architecture in PLANTED.items():
            made = prepare(asked.prepare / f"world-{seed}", seed, architecture, clean=False)
            pairs += [[made[0], made[1]], [made[1], made[2]], [made[0], made[2]]]
    for folder in runs:
        ask(opened(folder), asked)
    images = max(asked.images)
    for pair in seeds:
        random = np.random.default_rng(asked.seed)
        first, second = map(opened, pair)
        print(f"{first.name} and {second.name}: other donors", flush=True)
        said("halves", halves(first, random, asked.halves, images, second))
    for pair in pairs:
        random = np.random.default_rng(asked.seed)
        first, second = map(opened, pair)
        print(f"{first.name} to {second.name}", flush=True)
        said("cues", cues(first, second, random, asked.times, images))
        said("strengthened", retrained(first, second, random, asked.times, images))
        said("weakened", retrained(second, first, random, asked.times, images))


if __name__ == "__main__":
    main()

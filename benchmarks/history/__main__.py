"""False alarms over a year, by resampling the stored rows of finished runs; no model is asked.

    python -m benchmarks.history [RUN ...] [--out DIR] [--years N] [--images N ...]

Two painted worlds are made, trained and audited first, once: a clean one, and one whose network is
trained with its cues absent, weak and strong. The clean networks are audited with the backgrounds
of four seeds, of which each week meets those of one. With runs of
one's own the years alone are asked of them: their clean classes are those not called suspect.

Rows are drawn with replacement, so a world with few images understates how weeks differ: the answer
is for worlds like these, with so many images. The follow-up is resampled with the images; the pairs
that it looks at are those of the run.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import binomtest

from audit.writing import write_json
from benchmarks.history.nights import aligned
from benchmarks.history.questions import cues, halves, retrained, years
from benchmarks.history.resampling import World, opened
from benchmarks.history.worlds import STRENGTHS, prepare

CLEAN, PLANTED = 7430, 7530
"""Seeds of the two worlds."""
KEPT = (0.5, 0.75, 0.9, 0.95)
"""Shares of images that are kept from week to week."""
Row = tuple[str, str, str]


def share(count: int, of: int) -> str:
    """A count with its share and the exact interval of 95 % (Clopper and Pearson)."""
    if not of:
        return "0 of 0"
    held = binomtest(count, of).proportion_ci(0.95, "exact")
    return f"{count} of {of} = {count / of:.3f} ({held.low:.3f} to {held.high:.3f})"


def _counts(found: Counter[str]) -> str:
    return ", ".join(f"{word} {count}" for word, count in sorted(found.items()))


def of_years(banks: Sequence[World], asked: argparse.Namespace) -> list[Row]:
    """The years of one model, a row an answer; of the fewest images also with some of them kept."""
    rows = []
    for images, kept in [
        *((asked.images[0], kept) for kept in KEPT),
        *((images, 0.0) for images in asked.images),
    ]:
        found = years(banks, np.random.default_rng(asked.seed), asked.years, images, kept)
        of = f"{len(banks[0].of('clean'))} clean classes of {images} images"
        what = f"{banks[0].name}, {of}" + (f", {kept:.0%} of them kept" if kept else "")
        for key in ("suspect", "new", "called"):
            said = share(found[f"with a class {key}"], found["years"])
            rows.append((f"years with a class {key}", what, said))
        print(*rows[-3:], sep="\n", flush=True)
    return rows


def of_pairs(first: World, second: World, asked: argparse.Namespace) -> list[Row]:
    """A/A: two halves, by the donors of two seeds."""
    found = halves(first, second, np.random.default_rng(asked.seed), asked.halves, 50)
    number = found.pop("comparisons")
    said = share(found.pop("with an alarm"), number)
    print(said, _counts(found), flush=True)
    what = f"{first.name}, {len(first.of('clean'))} clean classes, halves of 50 images"
    return [("A/A comparisons with an alarm", what, said), ("their words", what, _counts(found))]


def of_retrainings(models: Sequence[World], asked: argparse.Namespace) -> list[Row]:
    """How soon a cue is named, and the words of each retraining on the same images."""
    rows: list[Row] = []
    for images in (asked.images[0], asked.images[-1]):
        for planted in models[1:]:
            random = np.random.default_rng(asked.seed)
            found = cues(models[0], planted, random, asked.times, images)
            what = f"{models[0].name} to {planted.name}, {images} images"
            for key in (
                "new by audit 1",
                "new by audit 2",
                "called by audit 1",
                "called by audit 2",
            ):
                rows.append((f"planted cue {key}", what, share(found[key], found["planted"])))
            print(*rows[-4:], sep="\n", flush=True)
    absent, weak, strong = models
    for earlier, later in ((absent, weak), (weak, strong), (strong, weak), (strong, absent)):
        random = np.random.default_rng(asked.seed)
        found = retrained(earlier, later, random, asked.times, 50)
        rows.append((f"{earlier.name} to {later.name}", "the same 50 images", _counts(found)))
        print(rows[-1], flush=True)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask all questions, or the years of the runs that are named, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/history"))
    parser.add_argument("--years", type=int, default=200)
    parser.add_argument("--halves", type=int, default=200)
    parser.add_argument("--times", type=int, default=10, help="of cues and retrainings")
    parser.add_argument("--images", type=int, nargs="+", default=[20, 30, 40])
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    began = time.process_time()
    torch.set_num_threads(1)
    if asked.runs:
        rows = [row for run in asked.runs for row in of_years([opened(run)], asked)]
    else:
        clean = prepare(asked.out / f"world-{CLEAN}", CLEAN, "plain", clean=True)
        planted = prepare(asked.out / f"world-{PLANTED}", PLANTED, "plain", clean=False)
        print(f"worlds ready after {time.process_time() - began:.0f} CPU seconds", flush=True)
        models = [opened(run) for run in planted]
        banks, others = models[len(STRENGTHS) :], aligned(models[: len(STRENGTHS)])
        calm = aligned([opened(run) for run in clean])
        rows = [*of_years(calm, asked), *of_years(aligned([others[0], *banks]), asked)]
        rows += [*of_pairs(*calm[:2], asked), *of_retrainings(others, asked)]
    asked.out.mkdir(parents=True, exist_ok=True)
    write_json(asked.out / "table.json", rows)
    print("| question | of | found |\n|---|---|---|")
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))
    print(f"{time.process_time() - began:.0f} CPU seconds")


if __name__ == "__main__":
    main()

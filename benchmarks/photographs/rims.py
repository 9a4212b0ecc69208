"""``python -m benchmarks.photographs.rims``: which hands' masks are doubted for their rims.

Pictures of worlds are composed as for an audit; no network is trained or asked. A class is doubted
where along one side of its masks the picture changes hardly more than beside it
(:mod:`audit.dataset.outline_edges`).
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from audit.dataset.outline_edges import edge_ranks, edge_support, least_supported
from benchmarks.photographs.hands import HANDS, Masks
from benchmarks.photographs.material import folder_of
from benchmarks.photographs.worlds import compose, make_world

IMAGES = 20
"""Of a class, as in an audit of this size."""
SEEDS = (*range(201, 210), 211, 212, 213, 214)
"""Seeds of the photographs' worlds on which the threshold was not set."""


def left_half(masks: Masks, random: np.random.Generator) -> Masks:
    """The left half of the object's columns."""
    turned = HANDS["upper-half"](masks.swapaxes(1, 2), random)
    return turned.swapaxes(1, 2)


def doubted(material: Path, seed: int) -> list[tuple[str, str | None, float]]:
    """A row a hand and class: the side that is doubted or None, and the least support."""
    world = make_world(material, seed, trunk="lite", tail="head", clean=seed >= 210)
    rows: list[tuple[str, str | None, float]] = []
    for label in range(len(world.names)):
        pictures, masks = compose(world, label, "audit", IMAGES)
        images = torch.from_numpy(pictures).movedim(-1, 1)
        for hand, drawn in {**HANDS, "left-half": left_half}.items():
            held = torch.from_numpy(
                np.ascontiguousarray(drawn(masks, np.random.default_rng(label)))
            )
            ranks = [edge_ranks(*pair) for pair in zip(images, held, strict=True)]
            found = least_supported([one.ravel().tolist() for one in ranks])
            side = None if found is None else str(found["side"])
            support = edge_support(np.stack(ranks))
            rows.append((hand, side, min(support.values(), default=float("nan"))))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row a hand; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.photographs.rims")
    parser.add_argument("--photographs", type=Path, required=True, metavar="DIR|TAR")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-photographs"))
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    options = parser.parse_args(arguments)
    material = folder_of(options.photographs, options.out)
    rows = [row for seed in options.seeds for row in doubted(material, seed)]
    print("| masks | classes | doubted | sides | least support: lowest, median, highest |")
    print("|---|---|---|---|---|")
    for hand in dict.fromkeys(row[0] for row in rows):
        own = [row for row in rows if row[0] == hand]
        support = [row[2] for row in own]
        sides = Counter(row[1] for row in own if row[1] is not None)
        said = ", ".join(f"{side} {count}" for side, count in sides.most_common())
        low, middle, high = np.nanquantile(support, [0, 0.5, 1])
        print(
            f"| {hand} | {len(own)} | {sum(sides.values())} | {said} "
            f"| {low:.2f}, {middle:.2f}, {high:.2f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m benchmarks.more_images``: how often the decision errs with one look and with two.

No network is asked: classes are drawn whose loss is known (`drawn_worlds`). The tool's own code
decides them by the first images alone, by these and as many further ones as an audit would take
where they leave a class undecided (all images together, or the further ones by themselves).
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from audit.findings import Verdict
from audit.manifest import VerdictSection
from audit.verdicts.affected import pair_losses, undecided_pairs
from audit.verdicts.decide import VICTIM_FLOOR, Criteria, decide, leaves_loss_open
from audit.verdicts.effects import ClassEffects, class_effects
from audit.verdicts.more_images import MoreImages
from audit.verdicts.suspicion import choose_pairs
from benchmarks.drawn_worlds import Drawn, draw_world, followed, only

CRITERIA = Criteria(VerdictSection())
FLOORS = {"all": CRITERIA.thresholds.effect, "one": VICTIM_FLOOR}


def decided(
    scores: pd.DataFrame,
    classes: Sequence[Drawn],
    random: np.random.Generator,
    places: range,
) -> tuple[tuple[ClassEffects, ...], pd.DataFrame]:
    """The effects of all classes at one look, with the follow-up's two looks; and its swaps."""
    names = {drawn.label: str(drawn.label) for drawn in classes}

    def open_cases(swaps: pd.DataFrame | None = None) -> list[int]:
        effects = class_effects(scores, names, 0, swaps)
        verdicts = decide(effects, CRITERIA)
        return [d.effects.label for d in verdicts if d.verdict is not Verdict.SUSPECT]

    swaps = followed(classes, choose_pairs(scores, open_cases()), places, random)
    again = undecided_pairs(pair_losses(scores, swaps), VICTIM_FLOOR, open_cases(swaps))
    if len(again):
        swaps = pd.concat([swaps, followed(classes, again, places, random, 2)])
    return class_effects(scores, names, 0, swaps), swaps


def one_world(seed: int, clean: bool, first: int, more: int) -> list[dict[str, object]]:
    """The verdict of every class of a world, by every rule."""
    random = np.random.default_rng([seed, int(clean), 7])
    classes, scores = draw_world(seed, clean, first + more)
    names = {drawn.label: str(drawn.label) for drawn in classes}
    at_first, further = range(first), range(first, first + more)
    scores_first = only(scores, at_first)
    twice = frozenset(names)
    found: dict[str, list[Verdict]] = {}

    once, swaps = decided(scores_first, classes, random, at_first)
    found["one look"] = [d.verdict for d in decide(once, CRITERIA)]

    effects = class_effects(scores_first, names, 0, swaps, more=MoreImages(twice))
    start = [d.verdict for d in decide(effects, CRITERIA)]
    still = [e.label for e in effects if leaves_loss_open(e, CRITERIA.thresholds)]
    fresh_only = only(scores, further)
    pairs = swaps[swaps["label"].isin(still) & (swaps["label"] != swaps["donor_label"])]
    pairs = pairs[["label", "donor_label"]].drop_duplicates()
    fresh_swaps = followed(classes, pairs, further, random)
    rows = fresh_only[fresh_only["label"].isin(still) & fresh_only["swap_other_margin"].notna()]
    columns = [
        "sample_id",
        "label",
        *(n for n in scores if n.startswith(("swap_", "background_only"))),
    ]
    pooled = class_effects(
        scores_first, names, 0, swaps, more=MoreImages(twice, rows[columns], fresh_swaps)
    )
    found["two looks, all images"] = [d.verdict for d in decide(pooled, CRITERIA)]

    alone = decide(
        class_effects(fresh_only, names, 0, fresh_swaps, more=MoreImages(twice)), CRITERIA
    )
    found["two looks, further images alone"] = [
        alone[label].verdict if label in still else start[label] for label in names
    ]
    return [
        {
            "cause": drawn.cause,
            "clean": clean,
            "rule": rule,
            "verdict": str(verdicts[drawn.label]),
            "met": first + more * (drawn.label in still) * rule.startswith("two"),
        }
        for rule, verdicts in found.items()
        for drawn in classes
    ]


def _job(given: tuple[int, bool, int, int]) -> list[dict[str, object]]:
    return one_world(*given)


def table_of(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """Shares of the verdicts by cause and rule."""
    counted = Counter((r["clean"], r["cause"], r["rule"], r["verdict"]) for r in rows)
    groups = dict.fromkeys((r["clean"], r["cause"], r["rule"]) for r in rows)
    shown = []
    for clean, cause, rule in groups:
        counts = {v: counted[clean, cause, rule, v] for v in ("suspect", "clear", "watch")}
        n = sum(counted[clean, cause, rule, str(v)] for v in Verdict)
        shares = {name: count / n for name, count in counts.items()}
        shown.append({"clean": clean, "cause": cause, "rule": rule, "n": n, **shares})
    return pd.DataFrame(shown).sort_values(["clean", "cause", "rule"], ignore_index=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw worlds, decide them and print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.more_images", description=__doc__)
    parser.add_argument("--worlds", type=int, default=100, help="of each kind: planted, clean")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--first", type=int, default=50)
    parser.add_argument("--more", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--rows", type=Path, help="write every verdict into this CSV")
    options = parser.parse_args(arguments)
    given = [
        (seed, clean, options.first, options.more)
        for clean in (False, True)
        for seed in range(options.start, options.start + options.worlds)
    ]
    with ProcessPoolExecutor(options.jobs) as pool:
        rows = [row for found in pool.map(_job, given) for row in found]
    if options.rows:
        pd.DataFrame(rows).to_csv(options.rows, index=False)
    print(table_of(rows).to_string(float_format=lambda value: f"{value:.4f}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

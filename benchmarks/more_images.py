"""``python -m benchmarks.more_images``: how often the decision errs with one look and with two.

No network is asked. Classes are drawn whose loss is known: the margin of an image on a background
of its own class is its ability and noise, and on one of another class (or on that of one other
class) less by what the class owes to it. The tool's own code decides them by the first images
alone, by these and as many further ones as an audit would take where they leave a class undecided
(all images together, or the further ones by themselves).
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.findings import Verdict
from audit.manifest import VerdictSection
from audit.measuring.columns import SCORE_COLUMNS
from audit.measuring.follow_up import DONORS
from audit.verdicts.affected import pair_losses, undecided_pairs
from audit.verdicts.decide import VICTIM_FLOOR, Criteria, decide, leaves_loss_open
from audit.verdicts.effects import ClassEffects, class_effects
from audit.verdicts.more_images import MoreImages
from audit.verdicts.suspicion import choose_pairs

CRITERIA = Criteria(VerdictSection())
SWAPS = 4
CAUSES: dict[str, tuple[str, float]] = {
    "nothing": ("all", 0.0),
    "under the floor: gap 0.05": ("all", 0.05),
    "at the floor: gap 0.10": ("all", 0.10),
    "above the floor: gap 0.14": ("all", 0.14),
    "to one class, under the floor: share 0.12": ("one", 0.12),
    "to one class, at the floor: share 0.23": ("one", 0.23),
    "to one class, above: share 0.35": ("one", 0.35),
}
WORLD = (*["nothing"] * 6, *[name for name in CAUSES if name != "nothing"])
"""What the classes of a world lose; a clean world has none but the first."""
FLOORS = {"all": CRITERIA.thresholds.effect, "one": VICTIM_FLOOR}


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 1 / (1 + np.exp(-values))
    return found


@dataclass(frozen=True)
class Drawn:
    """The images of a class: ability, and what its margin loses, on whose backgrounds.

    Parameters
    ----------
    label, donor : int
        The class, and the one other class that costs it something.
    cause : str
        Of :data:`CAUSES`.
    ability : float (n,)
        Mean margin of each image on backgrounds of its own class.
    loss : float (n,)
        Of the margin of each image.
    """

    label: int
    donor: int
    cause: str
    ability: NDArray[np.float64]
    loss: NDArray[np.float64]

    def margins(
        self, random: np.random.Generator, donors: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Of every image (rows of `donors`) on one background of each donor's class."""
        where = CAUSES[self.cause][0]
        costs = donors != self.label if where == "all" else donors == self.donor
        noise = random.normal(0, NOISE, donors.shape)
        found: NDArray[np.float64] = self.ability[:, None] + noise - self.loss[:, None] * costs
        return found


NOISE = 0.8
"""Of a margin from one background to the next, in units of the margin."""
SPREAD = 1.5
"""Of the loss of a margin from one image to the next: some gain on other backgrounds."""


DRAWS = 20_000
"""Images by which a loss is found that costs as much as it should."""


def loss_for(cause: str, mean: float, spread: float) -> float:
    """The loss of the margin that costs a class as much as its cause says."""
    where, wanted = CAUSES[cause]
    if not wanted:
        return 0.0
    random = np.random.default_rng(1)
    margin = random.normal(mean, spread, DRAWS) + random.normal(0, NOISE, DRAWS)
    deviation = random.normal(0, SPREAD, DRAWS)

    def costs(mean_loss: float) -> float:
        loss = mean_loss + deviation
        lost = float(_sigmoid(margin).mean() - _sigmoid(margin - loss).mean())
        if where == "all":
            return lost
        flipped = float((margin > 0).mean() - (margin > loss).mean())
        has = float(_sigmoid(margin).mean() + (margin > 0).mean()) / 2
        return (lost + flipped) / 2 / has

    low, high = -5.0, 20.0
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if costs(middle) < wanted else (low, middle)
    return high


def draw_world(seed: int, clean: bool, images: int) -> tuple[list[Drawn], pd.DataFrame]:
    """Classes and their scores, as if all images had met donors."""
    random = np.random.default_rng([seed, int(clean)])
    world = ["nothing"] * len(WORLD) if clean else list(random.permutation(WORLD))
    classes, rows = [], []
    for label, cause in enumerate(map(str, world)):
        others = [other for other in range(len(world)) if other != label]
        mean, spread = random.uniform(0.8, 2.5), random.uniform(0.7, 1.5)
        ability = random.normal(mean, spread, images)
        donor = int(random.choice(others))
        loss = loss_for(cause, mean, spread) + random.normal(0, SPREAD, images)
        drawn = Drawn(label, donor, cause, ability, loss)
        classes.append(drawn)
        rows += list(_rows(drawn, others, random))
    return classes, pd.DataFrame(rows, columns=SCORE_COLUMNS.names)


def _rows(
    drawn: Drawn, others: list[int], random: np.random.Generator
) -> Iterator[dict[str, object]]:
    label, count = drawn.label, len(drawn.ability)
    same = drawn.margins(random, np.full((count, SWAPS), label))
    donors = np.stack([random.permutation(others)[:SWAPS] for _ in range(count)])
    other = drawn.margins(random, donors)
    plain = drawn.ability + random.normal(0, NOISE, count)
    wrong = random.choice(others, count)
    for i in range(count):
        yield {
            "sample_id": f"{label:02d}/{i:04d}",
            "label": label,
            "prediction": label if plain[i] > 0 else wrong[i],
            "confidence": 0.9,
            "probability": float(_sigmoid(plain[i])),
            "margin": plain[i],
            "status": "scored",
            "swap_same_probability": float(_sigmoid(same[i]).mean()),
            "swap_same_margin": float(same[i].mean()),
            "swap_same_predictions": np.where(same[i] > 0, label, wrong[i]),
            "swap_other_probability": float(_sigmoid(other[i]).mean()),
            "swap_other_margin": float(other[i].mean()),
            "swap_other_own_margin": float(other[i].mean()),
            "swap_other_predictions": np.where(other[i] > 0, label, wrong[i]),
            "swap_other_probabilities": _sigmoid(other[i]),
            "swap_other_donor_labels": donors[i],
            "background_only_prediction": int(random.choice(others)),
        }


def followed(
    classes: Sequence[Drawn],
    pairs: pd.DataFrame,
    places: range,
    random: np.random.Generator,
    look: int = 1,
) -> pd.DataFrame:
    """A follow-up of some images of each class that `pairs` name, like that of an audit."""
    rows = []
    for label, own in pairs.groupby("label"):
        drawn = classes[int(label)]
        for donor in (int(label), *own["donor_label"].tolist()):
            margins = drawn.margins(random, np.full((len(drawn.ability), DONORS[look]), donor))
            for i in places:
                rows += [
                    {
                        "sample_id": f"{drawn.label:02d}/{i:04d}",
                        "label": drawn.label,
                        "donor_label": donor,
                        "prediction": drawn.label if margin > 0 else donor,
                        "probability": float(_sigmoid(np.asarray(margin))),
                        "margin": margin,
                    }
                    for margin in margins[i]
                ]
    columns = ["sample_id", "label", "donor_label", "prediction", "probability", "margin"]
    return pd.DataFrame(rows, columns=columns)


def only(scores: pd.DataFrame, places: range) -> pd.DataFrame:
    """The scores, of which only some images of each class have met donors."""
    kept = scores["sample_id"].str[3:].astype(int).isin(list(places))
    found = scores.copy()
    for name in [n for n in scores if n.startswith(("swap_", "background_only"))]:
        found[name] = scores[name].astype(object).where(kept, None)
    return found


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

"""Scores and follow-ups of classes whose loss is known, drawn as if a network had been asked.

The margin of an image on a background of its own class is its ability and noise, and on one of
another class (or on that of one other class) less by what the class owes to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.measuring.columns import SCORE_COLUMNS
from audit.measuring.follow_up import DONORS

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

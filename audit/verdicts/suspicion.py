"""Which pairs of classes the follow-up measures.

The first pass spreads few donors over all other classes, so a class that only *one* background
takes votes from meets that background once or twice. The pairs where such a loss is likely are
measured again, with fresh donors of that one class: a two-stage design. What is tested later are
the fresh swaps, so that choosing the pairs by the first ones cannot fake an effect. Classes of
which the first pass says nothing ill are followed up as well: that nothing was seen in a few swaps
excludes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import pandas as pd

from audit.measuring.swap_table import each_swap
from audit.verdicts.swap_rates import attractions

PAIRS = 3
"""Donor classes followed up for each class."""
_PRIOR_SWAPS = 4.0


def choose_pairs(scores: pd.DataFrame, open_cases: Collection[int]) -> pd.DataFrame:
    """Choose the pairs (class, donor class) to follow up.

    Three lists take turns: the losses that are expected, the classes that this one is mistaken
    for, and the classes whose backgrounds attract any objects. The expected loss of a pair is the
    mean loss of its swaps, shrunken towards what the class loses anywhere plus what objects of any
    class lose on that donor class's backgrounds.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    open_cases : collection of int
        Labels of the classes that are not suspect yet: suspects need no further proof.

    Returns
    -------
    DataFrame
        ``label``, ``donor_label``, ``expected`` (loss of probability; NaN where the pair never
        met); the most promising first within each label, at most :data:`PAIRS` of each.
    """
    swaps = each_swap(scores)
    cells = expected_losses(swaps)
    lending = [int(label) for label in sorted(cells["donor_label"].unique())]
    attracting = [
        label
        for label, excess in sorted(attractions(swaps).items(), key=lambda item: -item[1].value)
        if excess.value > 0 and label in lending
    ]
    mistaken = _mistaken(scores)
    chosen = []
    for label in sorted(open_cases):
        own = cells[cells["label"] == label]
        expected = dict(zip(own["donor_label"].tolist(), own["expected"].tolist(), strict=True))
        ranked = sorted(expected, key=lambda donor: (-expected[donor], donor))
        confused = [donor for donor in mistaken.get(label, []) if donor in lending]
        for donor in _in_turns(label, ranked, confused, attracting):
            chosen.append((label, donor, expected.get(donor, float("nan"))))
    return pd.DataFrame(chosen, columns=["label", "donor_label", "expected"])


def expected_losses(swaps: pd.DataFrame) -> pd.DataFrame:
    """The loss of probability that each pair which met in the first pass is expected to show.

    Parameters
    ----------
    swaps : DataFrame
        From :func:`audit.measuring.swap_table.each_swap`.

    Returns
    -------
    DataFrame
        ``label``, ``donor_label``, ``expected``.
    """
    cells = swaps.groupby(["label", "donor_label"])["lost"].agg(["sum", "count"]).reset_index()
    cells = cells[cells["count"] > 0]
    everywhere = swaps["lost"].mean()
    of_class = swaps.groupby("label")["lost"].mean()
    of_donor = swaps.groupby("donor_label")["lost"].mean()
    prior = np.clip(
        cells["label"].map(of_class) + cells["donor_label"].map(of_donor) - everywhere, 0, 1
    )
    expected = (cells["sum"] + _PRIOR_SWAPS * prior) / (cells["count"] + _PRIOR_SWAPS)
    return cells[["label", "donor_label"]].assign(expected=expected)


def _in_turns(label: int, *rankings: list[int]) -> list[int]:
    """The first of each ranking, then the second of each, without repeating any."""

    def heads() -> Iterator[int]:
        for position in range(max(map(len, rankings), default=0)):
            yield from (ranking[position] for ranking in rankings if position < len(ranking))

    return [donor for donor in dict.fromkeys(heads()) if donor != label][:PAIRS]


def _mistaken(scores: pd.DataFrame) -> dict[int, list[int]]:
    """What each class is mistaken for on backgrounds of its own, the most frequent first."""
    answered = scores[scores["prediction"].notna()]
    plain = answered[["label", "prediction"]]
    swapped = scores[scores["swap_same_predictions"].map(lambda held: held is not None)]
    moved = swapped[["label", "swap_same_predictions"]].explode("swap_same_predictions")
    answers = pd.concat([plain, moved.set_axis(plain.columns, axis=1)]).astype("int64")
    wrong = answers[answers["prediction"] != answers["label"]]
    counts = (
        wrong.groupby(["label", "prediction"]).size().sort_values(ascending=False, kind="stable")
    )
    found: dict[int, list[int]] = {}
    for label, prediction in counts.index:
        found.setdefault(int(label), []).append(int(prediction))
    return found

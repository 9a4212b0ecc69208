"""The audited images in parts: what is refitted and chosen by, and what it is proved on."""

from __future__ import annotations

from typing import Final

import pandas as pd

from audit.findings import SplitPart
from audit.sampling import ordered

SHARES: Final = {SplitPart.PROOF: 0.5, SplitPart.REFIT: 0.3, SplitPart.SELECTION: 0.2}
"""Of the images of each class; what is left over by rounding is proof."""
LEAST_IMAGES = 20
"""Images with a foreground that each suspect class needs, so that half of them can prove it."""


def split_images(scores: pd.DataFrame, seed: int) -> pd.Series[SplitPart]:
    """Split the images of each class, so that no content lies in two parts.

    Copies of one image, whatever they are labelled, go together: nothing is proved on what was
    learned.

    Parameters
    ----------
    scores : DataFrame
        Rows of ``scores.parquet``; images that could not be read are in no part.
    seed : int
        Of the run.

    Returns
    -------
    Series of SplitPart
        By the index of `scores`, without the unreadable.
    """
    readable = scores[scores["sha256"].notna()]
    first = readable.sort_values(["sha256", "label"]).drop_duplicates("sha256")
    parts: dict[str, SplitPart] = {}
    for _, own in first.groupby("label"):
        contents = ordered(own["sha256"], seed, "repair")
        refit = round(SHARES[SplitPart.REFIT] * len(contents))
        selection = round(SHARES[SplitPart.SELECTION] * len(contents))
        for position, content in enumerate(contents):
            part = SplitPart.REFIT if position < refit else SplitPart.SELECTION
            parts[content] = part if position < refit + selection else SplitPart.PROOF
    return readable["sha256"].map(parts).rename("part")


def fold_images(scores: pd.DataFrame, parts: pd.Series[SplitPart], seed: int) -> pd.Series[int]:
    """Halve what is not proof, part by part: four folds that judge each other's layers.

    Parameters
    ----------
    scores : DataFrame
        Rows of ``scores.parquet``.
    parts : Series of SplitPart
        From :func:`split_images`.
    seed : int
        Of the run.

    Returns
    -------
    Series of int
        By the index of `parts`, without the proof. Copies of an image are in one fold.
    """
    folds: dict[str, int] = {}
    contents = scores.loc[parts.index, "sha256"]
    labels = scores.loc[parts.index, "label"]
    for number, part in enumerate((SplitPart.REFIT, SplitPart.SELECTION)):
        for _, own in contents[parts == part].groupby(labels[parts == part]):
            for position, content in enumerate(ordered(own.unique(), seed, "repair folds")):
                folds.setdefault(content, 2 * number + position % 2)
    found: pd.Series[int] = contents[parts != SplitPart.PROOF].map(folds)
    return found.rename("fold")

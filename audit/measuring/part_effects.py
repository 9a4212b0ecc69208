"""The swap map of one sample, against backgrounds of the class whose cost its class most."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from audit.dataset.batches import Batch
from audit.measuring.donors import DonorBank, donor_seed
from audit.measuring.part_findings import SwapMap
from audit.measuring.plan import Workbench
from audit.measuring.swap_maps import Donors, swap_map
from audit.pixels import to_float
from audit.saliency import class_scores

PART_DONORS = 8
"""Backgrounds of either kind that take turns in one image."""
_LEAST_SWAPS = 3


def costliest_donor(rows: pd.DataFrame) -> int | None:
    """The class whose backgrounds leave the images of a class the least probability on average.

    Parameters
    ----------
    rows : DataFrame
        The class's rows of ``scores.parquet``.

    Returns
    -------
    int or None
        None where no class lent to at least three of them.
    """
    columns = ["swap_other_donor_labels", "swap_other_probabilities"]
    swaps = rows.loc[rows[columns].notna().all(axis=1), columns].explode(columns)
    means = swaps.astype(float).groupby(columns[0])[columns[1]].agg(["mean", "size"])
    means = means[means["size"] >= _LEAST_SWAPS]
    if means.empty:
        return None
    return int(means.index.to_numpy(np.int64)[means["mean"].to_numpy().argmin()])


def became_on(rows: pd.DataFrame, donor: int) -> int | None:
    """What the images of a class most often become on backgrounds of another.

    Parameters
    ----------
    rows : DataFrame
        The class's rows of ``scores.parquet``.
    donor : int
        The class whose backgrounds are asked about.

    Returns
    -------
    int or None
        A class index, the lowest of those that tie; None where they stay what they are.
    """
    columns = ["swap_other_donor_labels", "swap_other_predictions"]
    swaps = rows.loc[rows[columns].notna().all(axis=1), ["label", *columns]].explode(columns)
    there = swaps[(swaps[columns[0]] == donor) & (swaps[columns[1]] != swaps["label"])]
    answers, counts = np.unique(there[columns[1]].to_numpy(np.int64), return_counts=True)
    return int(answers[counts.argmax()]) if len(answers) else None


def measure_parts(
    batch: Batch,
    index: int,
    bench: Workbench,
    bank: DonorBank,
    donor: int,
    rival: int | None = None,
) -> SwapMap | None:
    """Measure what each part of a sample does for its class.

    Parameters
    ----------
    batch, index
        The sample.
    bench, bank
        As the scores were made.
    donor : int
        The class whose backgrounds take the place of the parts.
    rival : int, optional
        The class over which the lead is measured; None: the one that comes second in the image.

    Returns
    -------
    SwapMap or None
        None where there is no such background, or no object.
    """
    foreground, device = batch.foreground[index], bench.model.device
    if not foreground.any():
        return None
    label, sha256 = int(batch.targets[index]), batch.loaded[index].sha256
    seed = donor_seed(bench.plan.seed, sha256, "parts")
    others = bank.draw_from(donor, sha256, seed, PART_DONORS)
    if not others:
        return None
    return swap_map(
        partial(class_scores, bench.model),
        to_float(batch.images[index].to(device)),
        foreground.to(device),
        label,
        Donors(
            bank.fetch(list(others), device),
            bank.fetch(list(bank.draw_from(label, sha256, seed, PART_DONORS)), device),
            rival,
        ),
        seed=seed,
    )

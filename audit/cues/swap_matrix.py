"""Whose background makes it whom: the swap experiment told from the side of the donors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from audit.measuring.swap_table import each_swap

LEAST_SWAPS = 3
"""Swaps on one background below which its rate is not listed."""
DONORS_SHOWN = 6

MATRIX_COLUMNS = (
    "label",
    "label_name",
    "donor_label",
    "donor_name",
    "swaps",
    "became_donor",
    "lost",
    "mean_lost_probability",
)


def foreign_swaps(scores: pd.DataFrame) -> pd.DataFrame:
    """List every swap with the background of another class, one row each.

    Parameters
    ----------
    scores : DataFrame
        Rows of ``scores.parquet``.

    Returns
    -------
    DataFrame
        ``label`` (of the object), ``donor_label``, ``donor_row`` (a row of ``samples.parquet``,
        -1 where an earlier version did not write it down), ``became_donor`` (bool: the answer is
        the donor's class, and was not before), ``lost`` (bool: the answer is not the label),
        ``lost_probability`` (of the label: on backgrounds of its own class minus on this one;
        NaN without the former).
    """
    swaps = each_swap(scores)
    label, donor = swaps["label"], swaps["donor_label"]
    return pd.DataFrame(
        {
            "label": label,
            "donor_label": donor,
            "donor_row": swaps["donor_row"],
            "became_donor": (swaps["prediction"] == donor) & (swaps["before"] != donor),
            "lost": swaps["prediction"] != label,
            "lost_probability": swaps["lost"],
        }
    )


def whose_background(scores: pd.DataFrame, labels: Mapping[int, str]) -> pd.DataFrame:
    """Count, for each pair of classes, what the background of one does to objects of the other.

    Parameters
    ----------
    scores : DataFrame
        Rows of ``scores.parquet``.
    labels : mapping of int to str
        The dataset's classes by output index.

    Returns
    -------
    DataFrame
        A row a pair that met, with :data:`MATRIX_COLUMNS`: ``swaps``, of which ``became_donor``
        turned into the donor's class and ``lost`` were not answered with the label;
        ``mean_lost_probability`` of the label.
    """
    swaps = foreign_swaps(scores)
    counted = (
        swaps.groupby(["label", "donor_label"])
        .agg(
            swaps=("lost", "size"),
            became_donor=("became_donor", "sum"),
            lost=("lost", "sum"),
            mean_lost_probability=("lost_probability", "mean"),
        )
        .reset_index()
    )
    counted["label_name"] = [labels.get(label, "") for label in counted["label"]]
    counted["donor_name"] = [labels.get(label, "") for label in counted["donor_label"]]
    kinds = {"swaps": "int64", "became_donor": "int64", "lost": "int64"}
    return counted[list(MATRIX_COLUMNS)].astype(kinds)


def busiest(matrix: pd.DataFrame, classes: int = 12) -> dict[str, Any]:
    """The part of the matrix that a page has room for: the classes where most happens.

    What counts is how often a class's background turned other objects into the class, and how
    often its own objects were not answered with their label.

    Parameters
    ----------
    matrix : DataFrame
        From :func:`whose_background`.
    classes : int
        Most rows and columns.

    Returns
    -------
    dict
        ``classes`` (label, name, ``swaps`` and ``lost`` of its objects on all backgrounds; in the
        order of the labels), ``cells`` (rows of the matrix between them), ``left_out``
        (classes), ``swaps`` and ``became_donor`` (of the whole matrix), ``became_donor_shown``
        (of the cells).
    """
    given = matrix.groupby("donor_label")["became_donor"].sum()
    own = matrix.groupby("label")[["swaps", "lost"]].sum()
    action = given.add(own["lost"], fill_value=0).sort_index()
    busy = action.sort_values(ascending=False, kind="stable").head(classes)
    shown = sorted(int(label) for label in busy.index)
    cells = matrix[matrix["label"].isin(shown) & matrix["donor_label"].isin(shown)]
    names = dict(zip(matrix["label"], matrix["label_name"], strict=True))
    names |= dict(zip(matrix["donor_label"], matrix["donor_name"], strict=True))
    return {
        "classes": [
            {"label": label, "label_name": names[label], **totals}
            for label, totals in zip(
                shown, own.reindex(shown, fill_value=0).to_dict("records"), strict=True
            )
        ],
        "cells": cells.to_dict("records"),
        "left_out": len(action) - len(shown),
        "swaps": int(matrix["swaps"].sum()),
        "became_donor": int(matrix["became_donor"].sum()),
        "became_donor_shown": int(cells["became_donor"].sum()),
    }


def turning_donors(swaps: pd.DataFrame, label: int) -> dict[str, Any]:
    """The backgrounds of a class that turn most objects of other classes into it.

    Parameters
    ----------
    swaps : DataFrame
        From :func:`foreign_swaps`.
    label : int
        The donors' class.

    Returns
    -------
    dict
        ``swaps`` and ``became`` over all backgrounds of the class; ``victim``, the class whose
        objects became it most often, with its own ``label``, ``swaps`` and ``became``, or None;
        ``tried`` (backgrounds with at least :data:`LEAST_SWAPS` swaps); and ``donors``: at most
        :data:`DONORS_SHOWN` of those that turned any, each with ``row``, ``swaps``, ``became``.
        The highest rate comes first, of equal rates the one with more swaps, then the lower row.
    """
    own = swaps[swaps["donor_label"] == label]
    counted = own[own["donor_row"] >= 0].groupby("donor_row")["became_donor"].agg(["size", "sum"])
    listed = counted[counted["size"] >= LEAST_SWAPS]
    ordered = (
        listed.assign(rate=listed["sum"] / listed["size"], row=listed.index)
        .sort_values(["rate", "size", "row"], ascending=[False, False, True])
        .query("sum > 0")
    )
    by_object = own.groupby("label")["became_donor"].agg(["size", "sum"])
    turned = by_object[by_object["sum"] > 0].sort_values("sum", ascending=False, kind="stable")
    victims = [
        {"label": int(label), "swaps": int(size), "became": int(became)}
        for label, size, became in zip(turned.index, turned["size"], turned["sum"], strict=True)
    ]
    return {
        "swaps": len(own),
        "became": int(own["became_donor"].sum()),
        "victim": victims[0] if victims else None,
        "tried": len(listed),
        "donors": [
            {"row": int(row), "swaps": int(size), "became": int(became)}
            for row, size, became in zip(
                ordered["row"], ordered["size"], ordered["sum"], strict=True
            )
        ][:DONORS_SHOWN],
    }

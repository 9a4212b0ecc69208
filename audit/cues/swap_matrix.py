"""Whose background makes it whom: the swap experiment told from the side of the donors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pandas as pd
import pyarrow as pa

from audit.findings import MatrixCell, MatrixClass, SwapMatrix
from audit.measuring.swap_table import each_swap

LEAST_SWAPS = 3
"""Swaps on one background below which its rate is not listed."""
DONORS_SHOWN = 6

MATRIX_COLUMNS: Final = pa.schema(
    [
        ("label", pa.int64()),
        ("label_name", pa.string()),
        ("donor_label", pa.int64()),
        ("donor_name", pa.string()),
        ("swaps", pa.int64()),
        ("became_donor", pa.int64()),
        ("lost", pa.int64()),
        ("mean_lost_probability", pa.float64()),
        ("run_id", pa.string()),
    ]
)
"""Of ``whose_background.parquet``: a row a pair of classes that met."""


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


def count_swaps(scores: pd.DataFrame, labels: Mapping[int, str]) -> pd.DataFrame:
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
        A row a pair that met, with the columns of :data:`MATRIX_COLUMNS` but the last: ``swaps``,
        of which ``became_donor`` turned into the donor's class and ``lost`` were not answered with
        the label; ``mean_lost_probability`` of the label.
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
    columns: list[str] = MATRIX_COLUMNS.names[:-1]
    return counted[columns].astype({"swaps": "int64", "became_donor": "int64", "lost": "int64"})


def matrix_table(counted: pd.DataFrame, run_id: str) -> pa.Table:
    """The pairs of :func:`count_swaps` as they are written down."""
    return pa.Table.from_pandas(counted.assign(run_id=run_id), MATRIX_COLUMNS, preserve_index=False)


def busiest(counted: pd.DataFrame, classes: int = 12) -> SwapMatrix:
    """The part of the matrix that a page has room for: the classes where most happens.

    What counts is how often a class's background turned other objects into the class, and how
    often its own objects were not answered with their label.

    Parameters
    ----------
    counted : DataFrame
        From :func:`count_swaps`.
    classes : int
        Most rows and columns; they come in the order of the labels.
    """
    given = counted.groupby("donor_label")["became_donor"].sum()
    own = counted.groupby("label")[["swaps", "lost"]].sum()
    action = given.add(own["lost"], fill_value=0).sort_index()
    busy = action.sort_values(ascending=False, kind="stable").head(classes)
    shown = sorted(int(label) for label in busy.index)
    cells = counted[counted["label"].isin(shown) & counted["donor_label"].isin(shown)]
    names = dict(zip(counted["label"], counted["label_name"], strict=True))
    names |= dict(zip(counted["donor_label"], counted["donor_name"], strict=True))
    totals = own.reindex(shown, fill_value=0)
    return SwapMatrix(
        classes=tuple(
            MatrixClass(label=label, label_name=names[label], swaps=int(swaps), lost=int(lost))
            for label, swaps, lost in zip(shown, totals["swaps"], totals["lost"], strict=True)
        ),
        cells=tuple(
            MatrixCell.model_validate(row)
            for row in cells[list(MatrixCell.model_fields)].to_dict("records")
        ),
        left_out=len(action) - len(shown),
        swaps=int(counted["swaps"].sum()),
        became_donor=int(counted["became_donor"].sum()),
        became_donor_shown=int(cells["became_donor"].sum()),
    )


@dataclass(frozen=True)
class Turned:
    """So many swaps, and how many of them turned the object into the donor's class.

    `index` is the row of a background in the list of samples, or the label of a class.
    """

    index: int
    swaps: int
    became: int


@dataclass(frozen=True)
class TurningDonors:
    """What the backgrounds of a class did to the objects of others.

    Parameters
    ----------
    swaps, became : int
        Over all backgrounds of the class.
    affected : Turned or None
        The class whose objects became it most often; None where none did.
    tried : int
        Backgrounds with at least :data:`LEAST_SWAPS` swaps.
    donors : tuple of Turned
        At most :data:`DONORS_SHOWN` of those that turned any. The highest rate comes first, of
        equal rates the one with more swaps, then the lower row.
    """

    swaps: int
    became: int
    affected: Turned | None
    tried: int
    donors: tuple[Turned, ...]


def turning_donors(swaps: pd.DataFrame, label: int) -> TurningDonors:
    """The backgrounds of a class that turn most objects of other classes into it.

    Parameters
    ----------
    swaps : DataFrame
        From :func:`foreign_swaps`.
    label : int
        The donors' class.
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
    affected = _turned(turned.head(1))
    return TurningDonors(
        swaps=len(own),
        became=int(own["became_donor"].sum()),
        affected=affected[0] if affected else None,
        tried=len(listed),
        donors=_turned(ordered.head(DONORS_SHOWN)),
    )


def _turned(counted: pd.DataFrame) -> tuple[Turned, ...]:
    return tuple(
        Turned(int(row), int(size), int(became))
        for row, size, became in zip(counted.index, counted["size"], counted["sum"], strict=True)
    )

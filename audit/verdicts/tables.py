"""The classes of a run as tables, for notebooks and spreadsheets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final, get_args

import pandas as pd
import pyarrow as pa

from audit.findings import ClassFinding, ClassRow, Reason


def _type(annotation: object) -> pa.DataType:
    kinds = get_args(annotation) or (annotation,)
    if any(isinstance(kind, type) and issubclass(kind, (str, StrEnum)) for kind in kinds):
        return pa.string()
    return pa.int64() if int in kinds else pa.float64()


CLASS_COLUMNS: Final = pa.schema(
    [
        *((name, _type(field.annotation)) for name, field in ClassRow.model_fields.items()),
        ("reasons", pa.list_(pa.string())),  # sentences, in English
        ("reason_codes", pa.list_(pa.string())),
        ("run_id", pa.string()),
    ]
)
"""Of ``classes.parquet``: a row a class, the numbers of :class:`audit.findings.ClassRow`."""

CONFUSION_COLUMNS: Final = pa.schema(
    [
        ("label", pa.int64()),
        ("label_name", pa.string()),
        ("prediction", pa.int64()),
        ("count", pa.int64()),
        ("prediction_name", pa.string()),
        ("run_id", pa.string()),
    ]
)
"""Of ``confusions.parquet``: a row a pair of label and answer that occurred."""


def class_table(
    classes: Iterable[ClassFinding], run_id: str, say: Callable[[Reason], str]
) -> pa.Table:
    """Lay the findings out as a row a class, in the order of the labels.

    Parameters
    ----------
    classes : iterable of ClassFinding
        From :func:`audit.verdicts.find.find`.
    run_id : str
        Of the run.
    say : callable
        Makes the sentence of a reason.

    Returns
    -------
    Table
        With :data:`CLASS_COLUMNS`; an undefined number is null.
    """
    rows = [
        {name: getattr(finding, name) for name in ClassRow.model_fields}
        | {
            "reasons": [say(reason) for reason in finding.reasons],
            "reason_codes": [reason.code.value for reason in finding.reasons],
            "run_id": run_id,
        }
        for finding in sorted(classes, key=lambda finding: finding.label)
    ]
    return pa.Table.from_pylist(rows, CLASS_COLUMNS)


def confusion_table(scores: pd.DataFrame, class_names: Sequence[str], run_id: str) -> pa.Table:
    """Count how often which label was answered with which class; right answers among them.

    Parameters
    ----------
    scores : DataFrame
        All rows of ``scores.parquet``.
    class_names : sequence of K str
        All outputs of the model.
    run_id : str
        Of the run.
    """
    answered = scores[scores["prediction"].notna()]
    counted = (
        answered.assign(prediction=answered["prediction"].astype("int64"))
        .groupby(["label", "label_name", "prediction"])
        .size()
        .reset_index(name="count")
    )
    counted["prediction_name"] = [class_names[p] for p in counted["prediction"]]
    counted["run_id"] = run_id
    return pa.Table.from_pandas(counted, CONFUSION_COLUMNS, preserve_index=False)
